/** Points of pose networks as our skeletons, and as the landmarks that the rest of perception works with. */
import {
  BODY_POINTS,
  type BodyPoint,
  HAND_POINTS,
  type Keypoint,
  type PoseKeypoints,
  UNSEEN,
  UNSEEN_HAND,
  bodyIndex,
  poseFromWholebody,
} from "../../media/pose-keypoints.ts";
import { BODY_LANDMARKS, type BodyLandmark, type BodyLandmarkName } from "../body-landmarks.ts";
import type { PointSet } from "./signature.ts";

/** The skeleton of the points of a network. Hands and feet that a set does not have are unseen. */
export function poseFromPoints(points: readonly Keypoint[], set: PointSet): PoseKeypoints {
  switch (set) {
    case 133:
      return poseFromWholebody(points);
    case 17:
      return poseFromWholebody([...points, ...Array.from({ length: 116 }, () => UNSEEN)]);
    case 308:
      return poseFromGoliath(points);
  }
}

/** Positions of the body's points in Goliath; the neck is made of the shoulders, as everywhere. */
const GOLIATH_BODY: { readonly [P in Exclude<BodyPoint, "neck">]: number } = {
  nose: 0,
  leftEye: 1,
  rightEye: 2,
  leftEar: 3,
  rightEar: 4,
  leftShoulder: 5,
  rightShoulder: 6,
  leftElbow: 7,
  rightElbow: 8,
  leftHip: 9,
  rightHip: 10,
  leftKnee: 11,
  rightKnee: 12,
  leftAnkle: 13,
  rightAnkle: 14,
  leftBigToe: 15,
  leftSmallToe: 16,
  leftHeel: 17,
  rightBigToe: 18,
  rightSmallToe: 19,
  rightHeel: 20,
  rightWrist: 41,
  leftWrist: 62,
};

/** First point of each hand: four per finger from the thumb on, tip to root, then the wrist. */
const GOLIATH_HANDS = { right: 21, left: 42 } as const;

function poseFromGoliath(points: readonly Keypoint[]): PoseKeypoints {
  const at = (index: number): Keypoint => points[index]!;
  const [left, right] = [at(GOLIATH_BODY.leftShoulder), at(GOLIATH_BODY.rightShoulder)];
  const neck = {
    x: (left.x + right.x) / 2,
    y: (left.y + right.y) / 2,
    score: (left.score + right.score) / 2,
  };
  const hand = (first: number): Keypoint[] =>
    HAND_POINTS.map((_, i) => {
      if (i === 0) return at(first + 20);
      const [finger, joint] = [Math.floor((i - 1) / 4), (i - 1) % 4];
      return at(first + 4 * finger + 3 - joint);
    });
  return {
    body: BODY_POINTS.map((name) => (name === "neck" ? neck : at(GOLIATH_BODY[name]))),
    leftHand: hand(GOLIATH_HANDS.left),
    rightHand: hand(GOLIATH_HANDS.right),
  };
}

/** Where a hand whose points are unknown lies beyond the wrist, in lengths of the forearm. */
const HAND_BEYOND = 0.35;

type Side = "left" | "right";

/** Points of a skeleton's hand that landmarks of the body stand for. */
const HAND_LANDMARKS = { Pinky: 17, Index: 5, Thumb: 2 } as const;

/** The 33 landmarks of a skeleton, as far as it has them: no depths, and nothing of the mouth. */
export function landmarksFromPose(pose: PoseKeypoints): BodyLandmark[] {
  const body = (name: BodyPoint): Keypoint => pose.body[bodyIndex(name)]!;
  const landmark = (name: BodyLandmarkName): Keypoint => {
    if (name.startsWith("mouth")) return { ...body("nose"), score: 0 };
    const [, side, part] = /^(left|right)(.*)$/.exec(name) ?? [];
    if (side === undefined || part === undefined) return body("nose");
    if (part.startsWith("Eye")) return body(`${side as Side}Eye`);
    if (part === "FootIndex") return foot(pose, side as Side, "BigToe");
    if (part === "Heel") return foot(pose, side as Side, "Heel");
    if (part in HAND_LANDMARKS) return handPoint(pose, side as Side, part as keyof typeof HAND_LANDMARKS);
    return body(name as BodyPoint);
  };
  return BODY_LANDMARKS.map((name) => {
    const { x, y, score } = landmark(name);
    return { x, y, z: 0, visibility: score, presence: score, world: { x: 0, y: 0, z: 0 } };
  });
}

function foot(pose: PoseKeypoints, side: Side, part: "BigToe" | "Heel"): Keypoint {
  const point = pose.body[bodyIndex(`${side}${part}`)]!;
  return point.score > 0 ? point : { ...pose.body[bodyIndex(`${side}Ankle`)]!, score: 0 };
}

function handPoint(pose: PoseKeypoints, side: Side, part: keyof typeof HAND_LANDMARKS): Keypoint {
  const hand = side === "left" ? pose.leftHand : pose.rightHand;
  const point = hand[HAND_LANDMARKS[part]]!;
  if (hand !== UNSEEN_HAND && point.score > 0) return point;
  const [elbow, wrist] = [pose.body[bodyIndex(`${side}Elbow`)]!, pose.body[bodyIndex(`${side}Wrist`)]!];
  return {
    x: wrist.x + HAND_BEYOND * (wrist.x - elbow.x),
    y: wrist.y + HAND_BEYOND * (wrist.y - elbow.y),
    score: wrist.score,
  };
}
