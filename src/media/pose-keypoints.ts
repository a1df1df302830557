import { UserError, invariant } from "../tensor/errors.ts";

/**
 * One point: pixels from the top left corner of the picture (pixel i covers i to i + 1, so that x scales with the
 * width) and confidence 0..1; score 0 = not seen.
 */
export interface Keypoint {
  readonly x: number;
  readonly y: number;
  readonly score: number;
}

/**
 * The pose of one person in one frame, as perception finds it, the avatar knows it and skeletons are drawn from it.
 * Left and right are the person's own. Any point may lie outside the picture.
 */
export interface PoseKeypoints {
  /** 24 points in the order of `BODY_POINTS`: the 18 of OpenPose, then six of the feet. */
  readonly body: readonly Keypoint[];
  /** 21 points in the order of `HAND_POINTS`. All scores 0 when the hand is not seen. */
  readonly leftHand: readonly Keypoint[];
  readonly rightHand: readonly Keypoint[];
}

/** Names of `PoseKeypoints.body`, in order. */
export const BODY_POINTS = [
  "nose",
  "neck",
  "rightShoulder",
  "rightElbow",
  "rightWrist",
  "leftShoulder",
  "leftElbow",
  "leftWrist",
  "rightHip",
  "rightKnee",
  "rightAnkle",
  "leftHip",
  "leftKnee",
  "leftAnkle",
  "rightEye",
  "leftEye",
  "rightEar",
  "leftEar",
  "leftBigToe",
  "leftSmallToe",
  "leftHeel",
  "rightBigToe",
  "rightSmallToe",
  "rightHeel",
] as const;

/** Names of the points of a hand, in order: the wrist end, then each finger from knuckle to tip. */
export const HAND_POINTS = [
  "root",
  ...(["thumb", "index", "middle", "ring", "pinky"] as const).flatMap(
    (finger) => [`${finger}1`, `${finger}2`, `${finger}3`, `${finger}4`] as const,
  ),
] as const;

export type BodyPoint = (typeof BODY_POINTS)[number];

/** Position of a named point in `PoseKeypoints.body`. */
export function bodyIndex(name: BodyPoint): number {
  return BODY_POINTS.indexOf(name);
}

/** A point that was not seen. */
export const UNSEEN: Keypoint = { x: 0, y: 0, score: 0 };

/** A hand that was not seen. */
export const UNSEEN_HAND: readonly Keypoint[] = HAND_POINTS.map(() => UNSEEN);

/** The same pose in a picture cut at (left, top) and then scaled: x' = (x - left) * scaleX. */
export function transformPose(
  pose: PoseKeypoints,
  to: { left: number; top: number; scaleX: number; scaleY: number },
): PoseKeypoints {
  const move = ({ x, y, score }: Keypoint): Keypoint => ({
    x: (x - to.left) * to.scaleX,
    y: (y - to.top) * to.scaleY,
    score,
  });
  return {
    body: pose.body.map(move),
    leftHand: pose.leftHand.map(move),
    rightHand: pose.rightHand.map(move),
  };
}

/** COCO-wholebody index of each body point; the neck is made from the shoulders. */
const WHOLEBODY_OF_BODY = [
  0, -1, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3, 17, 18, 19, 20, 21, 22,
];

/**
 * From the 133 points of COCO-wholebody (17 body, 6 feet, 68 face, 21 left hand, 21 right hand). The neck is the mean
 * of the shoulders in place and in score; the face points are left out.
 */
export function poseFromWholebody(points: readonly Keypoint[]): PoseKeypoints {
  if (points.length !== 133) throw new UserError(`expected 133 COCO-wholebody points, got ${points.length}`);
  const at = (index: number): Keypoint => {
    const point = points[index];
    invariant(point, `no wholebody point ${index}`);
    return point;
  };
  const [left, right] = [at(5), at(6)];
  const neck = {
    x: (left.x + right.x) / 2,
    y: (left.y + right.y) / 2,
    score: (left.score + right.score) / 2,
  };
  return {
    body: WHOLEBODY_OF_BODY.map((index) => (index < 0 ? neck : at(index))),
    leftHand: points.slice(91, 112),
    rightHand: points.slice(112, 133),
  };
}
