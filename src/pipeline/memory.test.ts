import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterAll, beforeAll, expect, test } from "vitest";
import { generate } from "./generate.ts";
import { writeTinyInputs } from "./testing.ts";

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "posegen-memory-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

test("what is held in memory does not grow from segment to segment", async () => {
  const numFrames = 130;
  const { model, image, keypoints } = await writeTinyInputs(folder, numFrames);
  /** Bytes of all living arrays when each segment is finished, and while the video is written. */
  const held: number[] = [];
  await generate(
    {
      model,
      image,
      keypoints,
      out: join(folder, "out.mp4"),
      size: "96x128",
      steps: 1,
      guidanceScale: 1,
      threads: 1,
    },
    {
      onProgress: (event) => {
        if (event.type !== "progress") return;
        const isMilestone = event.activity === "write" ? event.step % 13 === 0 : event.activity === "decode";
        if (!isMilestone || (event.activity === "decode" && event.step < event.of)) return;
        collectGarbage();
        held.push(process.memoryUsage().arrayBuffers);
      },
    },
  );
  // 21 segments, then 10 looks at the writing.
  expect(held).toHaveLength(31);
  const frameBytes = 3 * 96 * 128;
  expect(Math.max(...held.slice(-15))).toBeLessThan(Math.max(...held.slice(0, 5)) + 4 * frameBytes);
});
