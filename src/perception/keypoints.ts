import {
  type BodyPoint,
  BODY_POINTS,
  type Keypoint,
  type PoseKeypoints,
  UNSEEN,
  UNSEEN_HAND,
} from "../media/pose-keypoints.ts";
import { type BodyLandmark, type BodyLandmarkName, bodyPoint } from "./body-landmarks.ts";
import type { HandPose, HandsObservation } from "./hands.ts";
import type { BodyPose } from "./pose.ts";
import type { Point } from "./region.ts";

/** Size of a picture in pixels. */
export interface Size {
  readonly width: number;
  readonly height: number;
}

/** Depths of the points of both hands in pixels, on one scale; smaller is nearer to the viewer. */
export interface HandDepths {
  readonly left: readonly number[];
  readonly right: readonly number[];
}

type DirectPoint = Exclude<BodyPoint, "neck" | "leftSmallToe" | "rightSmallToe">;

/** The landmark behind each body point of a skeleton; the other three are derived. */
const SOURCE: { readonly [P in DirectPoint]: BodyLandmarkName } = {
  nose: "nose",
  rightShoulder: "rightShoulder",
  rightElbow: "rightElbow",
  rightWrist: "rightWrist",
  leftShoulder: "leftShoulder",
  leftElbow: "leftElbow",
  leftWrist: "leftWrist",
  rightHip: "rightHip",
  rightKnee: "rightKnee",
  rightAnkle: "rightAnkle",
  leftHip: "leftHip",
  leftKnee: "leftKnee",
  leftAnkle: "leftAnkle",
  rightEye: "rightEye",
  leftEye: "leftEye",
  rightEar: "rightEar",
  leftEar: "leftEar",
  leftBigToe: "leftFootIndex",
  leftHeel: "leftHeel",
  rightBigToe: "rightFootIndex",
  rightHeel: "rightHeel",
};

/**
 * The skeleton of what was found in a picture of the given size. A body point's score is its visibility, 0 outside
 * the picture; the points of a hand share the hand's score. The neck is the mean of the shoulders, in place and in
 * score, as in the published preparation code. Without a body everything is unseen.
 */
export function poseFromBody(body: BodyPose | null, hands: HandsObservation, size: Size): PoseKeypoints {
  if (!body) return UNSEEN_POSE;
  const { landmarks, keypoints } = body;
  if (keypoints) return withHands(keypoints, hands, size);
  const at = (name: BodyPoint): Keypoint => {
    switch (name) {
      case "neck":
        return middle(at("leftShoulder"), at("rightShoulder"));
      case "leftSmallToe":
        return smallToe(bodyPoint(landmarks, "leftHeel"), bodyPoint(landmarks, "leftFootIndex"), -1, size);
      case "rightSmallToe":
        return smallToe(bodyPoint(landmarks, "rightHeel"), bodyPoint(landmarks, "rightFootIndex"), 1, size);
      default: {
        const landmark = bodyPoint(landmarks, SOURCE[name]);
        return keypoint(landmark, landmark.visibility, size);
      }
    }
  };
  return {
    body: BODY_POINTS.map(at),
    leftHand: handKeypoints(hands.left, size),
    rightHand: handKeypoints(hands.right, size),
  };
}

/** A skeleton as a network gave it; hands that it does not have are those found beside it. */
function withHands(pose: PoseKeypoints, hands: HandsObservation, size: Size): PoseKeypoints {
  const inside = (points: readonly Keypoint[]): Keypoint[] =>
    points.map((point) => keypoint(point, point.score, size));
  const hand = (points: readonly Keypoint[], found: HandPose | null): readonly Keypoint[] =>
    points.some(({ score }) => score > 0) ? inside(points) : handKeypoints(found, size);
  return {
    body: inside(pose.body),
    leftHand: hand(pose.leftHand, hands.left),
    rightHand: hand(pose.rightHand, hands.right),
  };
}

/** A person who was not seen. */
export const UNSEEN_POSE: PoseKeypoints = {
  body: BODY_POINTS.map(() => UNSEEN),
  leftHand: UNSEEN_HAND,
  rightHand: UNSEEN_HAND,
};

/** Depths of both hands: those of their own points, set off by the depth of the body's wrists. */
export function handDepths(body: BodyPose | null, hands: HandsObservation): HandDepths {
  const depths = (side: "left" | "right"): number[] => {
    const hand = hands[side];
    if (!body || !hand) return UNSEEN_HAND.map(() => 0);
    const wrist = bodyPoint(body.landmarks, `${side}Wrist`);
    return hand.landmarks.map((point) => wrist.z + point.z - hand.landmarks[0]!.z);
  };
  return { left: depths("left"), right: depths("right") };
}

function handKeypoints(hand: HandPose | null, size: Size): readonly Keypoint[] {
  return hand ? hand.landmarks.map((point) => keypoint(point, hand.score, size)) : UNSEEN_HAND;
}

function keypoint({ x, y }: Point, score: number, { width, height }: Size): Keypoint {
  const isInside = x >= 0 && x < width && y >= 0 && y < height;
  return { x, y, score: isInside ? score : 0 };
}

function middle(a: Keypoint, b: Keypoint): Keypoint {
  return { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2, score: (a.score + b.score) / 2 };
}

/** The small toe lies at this share of the way from the heel to the big toe … */
const SMALL_TOE_FORWARD = 0.85;
/** … and this share of the foot's depth to the outside, which is `side` times the direction of depth. */
const SMALL_TOE_OUT = 0.15;

/** The networks give one toe: the other one follows from the direction of the foot, which is taken to be level. */
function smallToe(heel: BodyLandmark, toe: BodyLandmark, side: 1 | -1, size: Size): Keypoint {
  const point = {
    x: heel.x + SMALL_TOE_FORWARD * (toe.x - heel.x) + side * SMALL_TOE_OUT * (toe.z - heel.z),
    y: heel.y + SMALL_TOE_FORWARD * (toe.y - heel.y),
  };
  return keypoint(point, toe.visibility, size);
}
