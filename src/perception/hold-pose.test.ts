import { expect, it } from "vitest";
import { UNSEEN_HAND } from "../media/pose-keypoints.ts";
import { holdPose } from "./hold-pose.ts";
import { UNSEEN_POSE } from "./keypoints.ts";
import type { PersonFrame } from "./person-frame.ts";

const WIDTH = 1000;

/** A frame with all points at x, or without a person; "cut" before a frame begins a shot. */
function frames(xs: readonly (number | null | "cut")[]): PersonFrame[] {
  const out: PersonFrame[] = [];
  xs.forEach((x, i) => {
    if (x === "cut") return;
    const body = UNSEEN_POSE.body.map(() => ({ x: x ?? 0, y: 5, score: 0.9 }));
    out.push({
      index: out.length,
      timeS: out.length,
      size: { width: WIDTH, height: 500 },
      pose: x === null ? UNSEEN_POSE : { body, leftHand: UNSEEN_HAND, rightHand: UNSEEN_HAND },
      depths: { left: UNSEEN_HAND.map(() => 0), right: UNSEEN_HAND.map(() => 0) },
      numPeople: x === null ? 0 : 1,
      ...(xs[i - 1] === "cut" && { cut: true as const }),
      found: { body: x !== null, leftHand: false, rightHand: false },
    });
  });
  return out;
}

async function held(xs: readonly (number | null | "cut")[], glide = 2): Promise<(number | null)[]> {
  const out: (number | null)[] = [];
  const source = frames(xs);
  for await (const { index, pose, found } of holdPose(
    (async function* () {
      yield* source;
    })(),
    glide,
  )) {
    expect(index).toBe(out.length);
    expect(found).toEqual(source[index]!.found);
    out.push(pose.body[0]!.score > 0 ? pose.body[0]!.x : null);
  }
  return out;
}

it("holds the last pose, then moves to the next", async () => {
  expect(await held([100, null, null, null, null, null, 400, 410])).toEqual([
    100, 100, 100, 100, 200, 300, 400, 410,
  ]);
});

it("holds the first pose before it and the last one after it", async () => {
  expect(await held([null, null, null, null, 300, 310, null, null, null])).toEqual([
    300, 300, 300, 300, 300, 310, 310, 310, 310,
  ]);
});

it("does not move through a cut, or across the picture after somebody who has left it", async () => {
  expect(await held([100, null, null, "cut", null, null, 400])).toEqual([100, 100, 100, 100, 100, 400]);
  expect(await held([5, null, null, null, 900])).toEqual([5, 5, 5, 5, 900]);
});

it("leaves a clip without anybody alone", async () => {
  expect(await held([null, null, null])).toEqual([null, null, null]);
  expect(await held([])).toEqual([]);
});
