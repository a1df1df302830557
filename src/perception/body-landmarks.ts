import { invariant } from "../tensor/errors.ts";
import type { Point } from "./region.ts";

/** x to the right, y down, z away from the viewer. */
export interface Point3 {
  readonly x: number;
  readonly y: number;
  readonly z: number;
}

/** One of the 33 points of the body. */
export interface BodyLandmark extends Point {
  /** Depth in pixels, relative to the middle of the hips; smaller is nearer to the viewer. Coarse. */
  readonly z: number;
  /** Probability that the point is in the picture and not hidden, 0..1. */
  readonly visibility: number;
  /** Probability that the point is in the picture, 0..1. */
  readonly presence: number;
  /** Metres from the middle of the hips, for a person of average size. */
  readonly world: Point3;
}

/** Names of the 33 points, in order. Left and right are the person's own. */
export const BODY_LANDMARKS = [
  "nose",
  "leftEyeInner",
  "leftEye",
  "leftEyeOuter",
  "rightEyeInner",
  "rightEye",
  "rightEyeOuter",
  "leftEar",
  "rightEar",
  "mouthLeft",
  "mouthRight",
  "leftShoulder",
  "rightShoulder",
  "leftElbow",
  "rightElbow",
  "leftWrist",
  "rightWrist",
  "leftPinky",
  "rightPinky",
  "leftIndex",
  "rightIndex",
  "leftThumb",
  "rightThumb",
  "leftHip",
  "rightHip",
  "leftKnee",
  "rightKnee",
  "leftAnkle",
  "rightAnkle",
  "leftHeel",
  "rightHeel",
  "leftFootIndex",
  "rightFootIndex",
] as const;

export type BodyLandmarkName = (typeof BODY_LANDMARKS)[number];

/** A landmark by its name. */
export function bodyPoint(landmarks: readonly BodyLandmark[], name: BodyLandmarkName): BodyLandmark {
  const point = landmarks[BODY_LANDMARKS.indexOf(name)];
  invariant(point, `a body without ${name}`);
  return point;
}

/** The same directions seen without a turn of the picture by `rotation` radians: world axes become the picture's. */
export function unrotated(values: Float32Array, index: number, rotation: number): Point3 {
  const [x, y, z] = [values[index * 3]!, values[index * 3 + 1]!, values[index * 3 + 2]!];
  const [cos, sin] = [Math.cos(rotation), Math.sin(rotation)];
  return { x: x * cos - y * sin, y: x * sin + y * cos, z };
}
