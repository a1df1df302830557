import { describe, expect, it } from "vitest";
import { type PoseKeypoints, UNSEEN_HAND, bodyIndex } from "../media/pose-keypoints.ts";
import { fillGaps } from "./fill-gaps.ts";
import { UNSEEN_POSE } from "./keypoints.ts";
import type { PersonFrame } from "./person-frame.ts";

const WRIST = bodyIndex("leftWrist");

/** A frame with all body points at (x, 0) and, unless told, the left hand 5 pixels right of them. */
function frameAt(index: number, x: number | null, hand = true): PersonFrame {
  const points = (n: number, at: number) => Array.from({ length: n }, () => ({ x: at, y: 0, score: 0.9 }));
  const seen: PoseKeypoints | null =
    x === null
      ? null
      : { body: points(24, x), leftHand: hand ? points(21, x + 5) : UNSEEN_HAND, rightHand: UNSEEN_HAND };
  return {
    index,
    timeS: index,
    size: { width: 100, height: 100 },
    pose: seen ?? UNSEEN_POSE,
    depths: { left: UNSEEN_HAND.map(() => (hand ? (x ?? 0) : 0)), right: UNSEEN_HAND.map(() => 0) },
    numPeople: x === null ? 0 : 1,
    found: { body: x !== null, leftHand: x !== null && hand, rightHand: false },
  };
}

async function fill(frames: readonly PersonFrame[], maxGap: number): Promise<PersonFrame[]> {
  const stream = async function* () {
    yield* frames;
  };
  const out: PersonFrame[] = [];
  for await (const frame of fillGaps(stream(), maxGap)) out.push(frame);
  return out;
}

describe("fillGaps", () => {
  it("moves body and hand in a straight line over a short gap", async () => {
    const xs = [0, 10, null, null, 40, 50];
    const frames = await fill(
      xs.map((x, i) => frameAt(i, x)),
      2,
    );
    expect(frames.map((frame) => frame.pose.body[WRIST]!.x)).toEqual([0, 10, 20, 30, 40, 50]);
    expect(frames.map((frame) => frame.pose.leftHand[7]!.x)).toEqual([5, 15, 25, 35, 45, 55]);
    expect(frames.map((frame) => frame.depths.left[7])).toEqual([0, 10, 20, 30, 40, 50]);
    expect(frames[2]!.pose.body[WRIST]!.score).toBe(0.9);
    // What was interpolated is not reported as found.
    expect(frames[2]!.found).toEqual({ body: false, leftHand: false, rightHand: false });
  });

  it("leaves longer gaps, the beginning and the end unseen", async () => {
    const xs = [null, 10, null, null, null, 50, null];
    const frames = await fill(
      xs.map((x, i) => frameAt(i, x)),
      2,
    );
    const seen = frames.map((frame) => frame.pose.body[WRIST]!.score > 0);
    expect(seen).toEqual([false, true, false, false, false, true, false]);
  });

  it("keeps a missing hand at the moving wrist", async () => {
    const frames = await fill([frameAt(0, 0), frameAt(1, 70, false), frameAt(2, 20)], 4);
    expect(frames[1]!.pose.leftHand[0]).toEqual({ x: 75, y: 0, score: 0.9 });
  });

  it("passes every frame on once, in order, also when there are fewer than it reads ahead", async () => {
    for (const n of [0, 1, 5, 20]) {
      const frames = await fill(
        Array.from({ length: n }, (_, i) => frameAt(i, i)),
        8,
      );
      expect(frames.map((frame) => frame.index)).toEqual(Array.from({ length: n }, (_, i) => i));
    }
  });
});
