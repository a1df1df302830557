import { describe, expect, it } from "vitest";
import { UNSEEN_HAND, bodyIndex } from "../media/pose-keypoints.ts";
import { mapToOutput, renderConditions } from "./conditions-video.ts";
import { UNSEEN_POSE } from "./keypoints.ts";
import type { PersonFrame } from "./person-frame.ts";

const NOSE = bodyIndex("nose");

/** A frame of 600 x 400 with a nose in the middle and an upright right hand beside it. */
function frame(handScore: number): PersonFrame {
  const body = UNSEEN_POSE.body.with(NOSE, { x: 300, y: 200, score: 1 });
  const rightHand = UNSEEN_HAND.map((_, i) => {
    const finger = Math.floor((i - 1) / 4);
    const joint = (i - 1) % 4;
    return i === 0
      ? { x: 350, y: 300, score: handScore }
      : { x: 330 + 10 * finger, y: 260 - 12 * joint, score: handScore };
  });
  return {
    index: 0,
    timeS: 0,
    size: { width: 600, height: 400 },
    pose: { ...UNSEEN_POSE, body, rightHand },
    depths: { left: UNSEEN_HAND.map(() => 0), right: UNSEEN_HAND.map((_, i) => i) },
    numPeople: 1,
    found: { body: true, leftHand: false, rightHand: true },
  };
}

const OUTPUT = { width: 200, height: 400 };

describe("mapToOutput", () => {
  it("cuts the middle out to the output's shape and scales it, depth as well", () => {
    // The middle 200 x 400 of the frame, to half of that size.
    const others = [{ left: 100, top: 0, right: 260, bottom: 300 }];
    const mapped = mapToOutput({ ...frame(1), others }, { width: 100, height: 200 });
    expect(mapped.pose.body[NOSE]).toEqual({ x: 50, y: 100, score: 1 });
    expect(mapped.pose.rightHand[0]).toEqual({ x: 75, y: 150, score: 1 });
    expect(mapped.depths.right[4]).toBe(2);
    expect(mapped.others).toEqual([{ left: -50, top: 0, right: 30, bottom: 150 }]);
    expect(mapped.size).toEqual({ width: 100, height: 200 });
  });
});

describe("renderConditions", () => {
  const isDark = (pixels: Uint8Array): boolean => pixels.every((value) => value === 0);
  const window = (image: { data: Uint8Array; width: number }, left: number, top: number, size: number) => {
    const rows = Array.from({ length: size }, (_, y) => {
      const from = 3 * ((top + y) * image.width + left);
      return [...image.data.subarray(from, from + 3 * size)];
    });
    return Uint8Array.from(rows.flat());
  };

  it("draws the skeleton and the hands where the output shows them", () => {
    const { skeleton, handNormals } = renderConditions(frame(0.9), OUTPUT);
    expect([skeleton.width, skeleton.height, handNormals.width, handNormals.height]).toEqual([
      200, 400, 200, 400,
    ]);
    expect(isDark(window(skeleton, 98, 198, 4))).toBe(false);
    expect(isDark(window(skeleton, 148, 298, 4))).toBe(false);
    expect(isDark(window(handNormals, 148, 270, 4))).toBe(false);
    expect(isDark(window(handNormals, 0, 0, 100))).toBe(true);
  });

  it("leaves out hands below the threshold", () => {
    const { skeleton, handNormals } = renderConditions(frame(0.6), OUTPUT);
    expect(isDark(handNormals.data)).toBe(true);
    expect(isDark(window(skeleton, 148, 298, 4))).toBe(true);
    expect(isDark(renderConditions(frame(0.6), OUTPUT, { handThreshold: 0.5 }).handNormals.data)).toBe(false);
  });
});
