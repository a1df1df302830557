import { describe, expect, it } from "vitest";
import { createImage } from "../media/pixels.ts";
import { renderConditions } from "./conditions-video.ts";
import { UNSEEN_POSE } from "./keypoints.ts";
import { type NormalPatch, drawNormalPatches, movePatch, transformPatch } from "./normal-patch.ts";
import type { PersonFrame } from "./person-frame.ts";

/** A normal (0.6, 0, 0.8), to the right. */
const RIGHT = [204, 128, 230] as const;

/** 4 x 2 samples of 3 pixels at (10, 20); the last column is off the hand. */
const PATCH: NormalPatch = {
  width: 4,
  height: 2,
  origin: { x: 10, y: 20 },
  across: { x: 3, y: 0 },
  down: { x: 0, y: 3 },
  normals: Uint8Array.from(
    Array.from({ length: 8 }, (_, i) => (i % 4 === 3 ? [0, 0, 0] : [...RIGHT])).flat(),
  ),
};

function drawn(patch: NormalPatch, width = 60, height = 60) {
  const image = createImage(width, height);
  drawNormalPatches(image, [patch]);
  const covered: [number, number][] = [];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) if (image.data[3 * (y * width + x) + 2]! > 0) covered.push([x, y]);
  }
  const color = (x: number, y: number) => [
    ...image.data.subarray(3 * (y * width + x), 3 * (y * width + x) + 3),
  ];
  return { covered, color };
}

const hand = (root: [number, number], knuckle: [number, number]) =>
  Array.from({ length: 21 }, (_, i) => {
    const [x, y] = i === 9 ? knuckle : root;
    return { x, y, score: 1 };
  });

describe("patches of normals", () => {
  it("are drawn where they lie, and nowhere off the hand", () => {
    const { covered, color } = drawn(PATCH);
    expect(covered).toHaveLength(9 * 6);
    expect(covered.every(([x, y]) => x >= 10 && x < 19 && y >= 20 && y < 26)).toBe(true);
    expect(color(12, 22)).toEqual([...RIGHT]);
  });

  it("scale with the picture, finer than its pixels too", () => {
    const { covered, color } = drawn(
      transformPatch(PATCH, { left: 4, top: 2, scaleX: 1 / 3, scaleY: 1 / 3 }),
    );
    expect(covered).toEqual(
      [2, 3, 4].flatMap((x) => [6, 7].map((y) => [x, y])).toSorted((a, b) => a[1]! - b[1]!),
    );
    expect(color(3, 6)).toEqual([...RIGHT]);
  });

  it("move, grow and turn with their hand", () => {
    // A quarter turn clockwise, doubled: up becomes right, right becomes down.
    const moved = movePatch(PATCH, hand([10, 26], [10, 16]), hand([30, 30], [50, 30]));
    const { covered, color } = drawn(moved);
    expect(Math.min(...covered.map(([x]) => x))).toBe(30);
    expect(Math.max(...covered.map(([x]) => x))).toBe(41);
    expect(Math.min(...covered.map(([, y]) => y))).toBe(30);
    expect(Math.max(...covered.map(([, y]) => y))).toBe(47);
    const [x, y, z] = color(35, 35);
    expect([x, z]).toEqual([128, 230]);
    expect(y).toBeLessThan(55);
    expect(movePatch(PATCH, hand([5, 5], [5, 5]), hand([9, 9], [9, 9]))).toBe(PATCH);
  });

  it("take the place of normals that follow from points", () => {
    const frame: PersonFrame = {
      index: 0,
      timeS: 0,
      size: { width: 60, height: 60 },
      pose: UNSEEN_POSE,
      depths: { left: UNSEEN_POSE.leftHand.map(() => 0), right: UNSEEN_POSE.rightHand.map(() => 0) },
      numPeople: 1,
      surfaces: { left: null, right: PATCH },
      found: { body: true, leftHand: false, rightHand: false },
    };
    const { handNormals } = renderConditions(frame, { width: 60, height: 60 });
    expect([...handNormals.data.subarray(3 * (22 * 60 + 12), 3 * (22 * 60 + 12) + 3)]).toEqual([...RIGHT]);
  });
});
