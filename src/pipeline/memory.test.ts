import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { reachableBytes } from "../runtime/reachable-bytes.ts";
import { newSlot } from "../runtime/runner.ts";
import { Session } from "../runtime/session.ts";
import { generate } from "./generate.ts";
import { planSegments } from "./plan.ts";
import { writeTinyInputs } from "./testing.ts";

const plan = planSegments(74, { segmentFrames: 9 });
const { width, height } = { width: 96, height: 128 };
const frameBytes = 3 * width * height;

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "posegen-memory-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** What a run holds: arrays of its own thread; graphs opened and places made in the engine's. */
interface Held {
  readonly bytes: number;
  readonly graphs: number;
  readonly slots: number;
}

test("what is held does not grow from segment to segment, nor while the video is written", async () => {
  const { model, image, keypoints } = await writeTinyInputs(folder, plan.numFrames);
  const create = vi.spyOn(Session, "create");
  /** By segment, when it has been decoded, and then by frame, when it has been written. */
  const [decoded, written]: [Map<number, Held>, Map<number, Held>] = [new Map(), new Map()];
  const look = (into: Map<number, Held>, index: number): void => {
    // Slots are numbered, and every look makes one.
    const slots = newSlot().slot - decoded.size - written.size;
    into.set(index, { bytes: reachableBytes(), graphs: create.mock.calls.length, slots });
  };
  // The same frame of two overlaps: the stitcher holds as many frames at either.
  const period = plan.segments[2]!.start;
  const [early, late] = [2 * period, 5 * period];
  await generate(
    {
      model,
      image,
      keypoints,
      out: join(folder, "out.mp4"),
      size: `${width}x${height}`,
      align: "off",
      steps: 1,
      guidanceScale: 1,
      threads: 1,
    },
    {
      onProgress(event) {
        if (event.type !== "progress") return;
        const { activity, segment, step, of } = event;
        if (activity === "decode" && step === of) look(decoded, segment!);
        if (activity === "write" && (step === early || step === late)) look(written, step);
      },
    },
  );
  create.mockRestore();

  const last = plan.segments.length - 1;
  expect(decoded.size).toBe(plan.segments.length);
  for (const [what, before, after] of [
    ["base segments", decoded.get(2)!, decoded.get(last)!],
    ["interpolated segments", decoded.get(1)!, decoded.get(last - 1)!],
    ["writing", written.get(early)!, written.get(late)!],
  ] as const) {
    expect(after, what).toMatchObject({ graphs: before.graphs, slots: before.slots });
    expect(after.bytes - before.bytes, what).toBeLessThan(frameBytes);
  }
});
