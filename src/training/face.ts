/** Where a face is seen: what is small there decides whether a person is seen from the front. */
import { type BodyPoint, type Keypoint, bodyIndex } from "../media/pose-keypoints.ts";
import { POSE_POINTS } from "./dataset.ts";

/** Radius of a face around its nose in distances between the eyes, and the least one in pixels. */
const RADIUS = 1.8;
const LEAST_RADIUS = 4;

export interface FaceDisc {
  readonly x: number;
  readonly y: number;
  readonly radius: number;
}

/** The face of a pose in pixels; null unless nose and both eyes are seen. */
export function faceOf(point: (name: BodyPoint) => Keypoint): FaceDisc | null {
  const [nose, left, right] = [point("nose"), point("leftEye"), point("rightEye")];
  if (Math.min(nose.score, left.score, right.score) === 0) return null;
  const radius = Math.max(LEAST_RADIUS, RADIUS * Math.hypot(left.x - right.x, left.y - right.y));
  return { x: nose.x, y: nose.y, radius };
}

/**
 * Latent cells that a face touches in any of their frames, 0 or 1, [f, h, w].
 * @param poses x and y as shares of the picture, and confidence, [F, P, 3]; see `StoredClip.poses`
 * @param stride pixels per latent cell
 */
export function faceCells(
  poses: Float32Array,
  [f, h, w]: readonly [number, number, number],
  stride: number,
): Uint8Array {
  const cells = new Uint8Array(f * h * w);
  for (let frame = 0; frame < 4 * f - 3; frame++) {
    const face = faceOf((name) => {
      const at = 3 * (frame * POSE_POINTS + bodyIndex(name));
      return { x: poses[at]! * w * stride, y: poses[at + 1]! * h * stride, score: poses[at + 2]! };
    });
    if (!face) continue;
    const [top, bottom] = touched(face.y, face.radius, stride, h);
    const [left, right] = touched(face.x, face.radius, stride, w);
    const t = Math.ceil(frame / 4);
    for (let y = top; y <= bottom; y++) cells.fill(1, (t * h + y) * w + left, (t * h + y) * w + right + 1);
  }
  return cells;
}

/** First and last cell that a stretch of pixels around a centre touches; none (last before first) outside the picture. */
function touched(centre: number, radius: number, stride: number, count: number): [number, number] {
  const cell = (pixel: number): number => Math.floor(pixel / stride);
  return [Math.max(0, cell(centre - radius)), Math.min(count - 1, cell(centre + radius))];
}
