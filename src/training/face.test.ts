import { expect, test } from "vitest";
import { bodyIndex } from "../media/pose-keypoints.ts";
import { POSE_POINTS } from "./dataset.ts";
import { faceCells, faceOf } from "./face.ts";

const FACE = {
  nose: { x: 32, y: 40, score: 1 },
  leftEye: { x: 36, y: 36, score: 1 },
  rightEye: { x: 30, y: 36, score: 1 },
} as const;
type FacePoint = keyof typeof FACE;

test("a face lies around the nose, as wide as its eyes are apart", () => {
  expect(faceOf((name) => FACE[name as FacePoint])).toEqual({ x: 32, y: 40, radius: 1.8 * 6 });
});

test("who looks away has no face", () => {
  const away = { ...FACE, leftEye: { x: 0, y: 0, score: 0 } };
  expect(faceOf((name) => away[name as FacePoint])).toBeNull();
});

test("the cells of a face are those that it touches in any frame of a latent", () => {
  const [f, h, w] = [2, 12, 8] as const;
  const poses = new Float32Array(5 * POSE_POINTS * 3);
  const show = (frame: number, dx: number): void => {
    for (const [name, { x, y }] of Object.entries(FACE)) {
      poses.set([(x + dx) / 64, y / 96, 1], 3 * (frame * POSE_POINTS + bodyIndex(name as FacePoint)));
    }
  };
  show(0, 0);
  show(3, 24);
  const cells = faceCells(poses, [f, h, w], 8);
  const columns = (t: number): number[] =>
    Array.from({ length: w }, (_, x) =>
      Array.from({ length: h }, (_row, y) => cells[(t * h + y) * w + x]!).reduce((a, b) => a + b),
    );
  // 32 ± 10.8 pixels lie in columns 2 to 5, 40 ± 10.8 in rows 3 to 6; 24 pixels on, the picture ends in column 7.
  expect(columns(0)).toEqual([0, 0, 4, 4, 4, 4, 0, 0]);
  expect(columns(1)).toEqual([0, 0, 0, 0, 0, 4, 4, 4]);
});
