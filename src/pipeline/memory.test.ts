import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { newSlot } from "../runtime/runner.ts";
import { Session } from "../runtime/session.ts";
import { generate } from "./generate.ts";
import { planSegments } from "./plan.ts";
import type { GenerateRequest } from "./request.ts";
import { writeTinyInputs } from "./testing.ts";

const plan = planSegments(74, { segmentFrames: 9 });
const { width, height } = { width: 96, height: 128 };

let folder: string;
let request: GenerateRequest;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "posegen-memory-"));
  const { model, image, keypoints } = await writeTinyInputs(folder, plan.numFrames);
  const out = join(folder, "out.mp4");
  const quick = { steps: 1, guidanceScale: 1, threads: 1 };
  request = { model, image, keypoints, align: "off", out, size: `${width}x${height}`, ...quick };
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const CHILD = fileURLToPath(new URL("../../bench/held-child.ts", import.meta.url));

/** Bytes of all arrays that a run of `generate` refers to, in a process that does nothing else. */
async function bytesAt(looks: readonly string[]): Promise<number[]> {
  const argv = ["--import", "tsx", CHILD, JSON.stringify(request), ...looks];
  const { stdout } = await promisify(execFile)(process.execPath, argv);
  return stdout.trimEnd().split("\n").map(Number);
}

test("the arrays that are referred to do not grow from segment to segment", async () => {
  // The same frames of two overlaps: the stitcher holds as many frames at either.
  const period = plan.segments[2]!.start;
  const looks = ["2", "10", "1", "9", `frame ${2 * period}`, `frame ${5 * period}`];
  const held = await bytesAt(looks);
  expect(held).toHaveLength(looks.length);
  const frameBytes = 3 * width * height;
  for (let look = 0; look < held.length; look += 2) {
    const growth = held[look + 1]! - held[look]!;
    expect(growth, `${looks[look]} to ${looks[look + 1]}`).toBeLessThan(frameBytes);
  }
});

test("after the first segment of a kind nothing more is held in the engine's thread", async () => {
  const create = vi.spyOn(Session, "create");
  /** By segment: graphs opened so far, and places for tensors made so far. */
  const made = new Map<number, { graphs: number; slots: number }>();
  await generate(
    { ...request, out: join(folder, "other.mp4") },
    {
      onProgress(event) {
        if (event.type !== "progress" || event.activity !== "decode" || event.step < event.of) return;
        // Slots are numbered, and every look makes one.
        made.set(event.segment!, { graphs: create.mock.calls.length, slots: newSlot().slot - made.size });
      },
    },
  );
  create.mockRestore();
  expect(made.size).toBe(plan.segments.length);
  const last = plan.segments.length - 1;
  expect(made.get(last)).toEqual(made.get(2));
  expect(made.get(last - 1)).toEqual(made.get(1));
});
