import { BODY_POINTS, type BodyPoint, type Keypoint, type PoseKeypoints } from "../media/pose-keypoints.ts";
import { EAR_Y, EYE_X, EYE_Y, NOSE_Y } from "./face-paint.ts";
import type { Hand, Skeleton } from "./kinematics.ts";
import type { Camera, VisibilityBuffer } from "./raster.ts";
import { add, direction, mix, point, type Vec3 } from "./vector.ts";

/** The joints of a person in 3D, metres, world axes (x right, y up, z to the viewer). */
export interface Joints3d {
  /** In the order of `BODY_POINTS`. */
  readonly body: readonly Vec3[];
  readonly leftHand: readonly Vec3[];
  readonly rightHand: readonly Vec3[];
}

/**
 * Joints lie inside the limbs, the points of the face on its surface. The neck is the middle of the shoulders.
 * @param place of the skeleton's origin in the world
 */
export function jointsOf(skeleton: Skeleton, place: Vec3 = [0, 0, 0]): Joints3d {
  const { head, headRadius: r, leftArm, rightArm, leftLeg, rightLeg, leftFoot, rightFoot } = skeleton;
  const onHead = (x: number, y: number, z: number) => point(head, x * r, y * r, z * r);
  const onFoot = (foot: typeof leftFoot, x: number, z: number) => point(foot, x, -0.06, z);
  const at: { readonly [P in BodyPoint]: Vec3 } = {
    nose: onHead(0, NOSE_Y, 1.06),
    neck: mix(leftArm.start, rightArm.start, 0.5),
    rightShoulder: rightArm.start,
    rightElbow: rightArm.middle,
    rightWrist: rightArm.end,
    leftShoulder: leftArm.start,
    leftElbow: leftArm.middle,
    leftWrist: leftArm.end,
    rightHip: rightLeg.start,
    rightKnee: rightLeg.middle,
    rightAnkle: rightLeg.end,
    leftHip: leftLeg.start,
    leftKnee: leftLeg.middle,
    leftAnkle: leftLeg.end,
    rightEye: onHead(-EYE_X, EYE_Y, 0.84),
    leftEye: onHead(EYE_X, EYE_Y, 0.84),
    rightEar: onHead(-0.9, EAR_Y, 0),
    leftEar: onHead(0.9, EAR_Y, 0),
    leftBigToe: onFoot(leftFoot, -0.025, 0.16),
    leftSmallToe: onFoot(leftFoot, 0.03, 0.13),
    leftHeel: onFoot(leftFoot, 0, -0.06),
    rightBigToe: onFoot(rightFoot, 0.025, 0.16),
    rightSmallToe: onFoot(rightFoot, -0.03, 0.13),
    rightHeel: onFoot(rightFoot, 0, -0.06),
  };
  return {
    body: BODY_POINTS.map((name) => add(at[name], place)),
    leftHand: skeleton.leftHand.landmarks.map((p) => add(p, place)),
    rightHand: skeleton.rightHand.landmarks.map((p) => add(p, place)),
  };
}

export function projectPoint(camera: Camera, [x, y, z]: Vec3): { x: number; y: number; nearness: number } {
  const nearness = 1 / (camera.distance - z);
  return {
    x: camera.centreX + (x - camera.x) * camera.focal * nearness,
    y: camera.centreY - (y - camera.y) * camera.focal * nearness,
    nearness,
  };
}

/** Directions in which the points of the face look, head axes; a point that looks away is not seen. */
const LOOKS: { readonly [P in BodyPoint]?: readonly [direction: Vec3, least: number] } = {
  nose: [[0, 0, 1], -0.1],
  rightEye: [[-0.4, 0, 0.92], -0.05],
  leftEye: [[0.4, 0, 0.92], -0.05],
  rightEar: [[-1, 0, 0], -0.45],
  leftEar: [[1, 0, 0], -0.45],
};

/** A hand counts as seen when at least this share of its landmarks lies on it and not behind something else. */
const SEEN_SHARE = 0.35;

function handKeypoints(
  hand: Hand,
  toPicture: (p: Vec3) => Keypoint,
  isHidden: (p: Vec3) => boolean,
): Keypoint[] {
  const hidden = hand.landmarks.filter((p) => isHidden(p)).length / hand.landmarks.length;
  const score = hidden > 1 - SEEN_SHARE ? 0.3 : 1;
  return hand.landmarks.map((p) => {
    const keypoint = toPicture(p);
    return { ...keypoint, score: Math.min(score, keypoint.score) };
  });
}

/**
 * Keypoints as a perfect pose estimator would report them: score 0 outside the picture (`width` x `height` pixels)
 * and for face points that look away, 1 elsewhere (hidden limbs too); all points of a hand 0.3 when most of it is hidden,
 * below the threshold at which hands are drawn. `buffer` holds the drawn person on a grid `supersample` times finer.
 */
export function keypointsOf(
  skeleton: Skeleton,
  camera: Camera,
  size: { readonly width: number; readonly height: number },
  buffer: VisibilityBuffer,
  supersample: number,
): PoseKeypoints {
  const toPicture = (p: Vec3): Keypoint => {
    const { x, y } = projectPoint(camera, p);
    const inside = x >= 0 && x < size.width && y >= 0 && y < size.height;
    return { x, y, score: inside ? 1 : 0 };
  };
  const isHidden = (p: Vec3): boolean => {
    const { x, y, nearness } = projectPoint(camera, p);
    const [column, row] = [Math.floor(x * supersample), Math.floor(y * supersample)];
    if (column < 0 || row < 0 || column >= buffer.width || row >= buffer.height) return true;
    const front = buffer.nearness[row * buffer.width + column]!;
    // 4 cm: thicker than a hand
    return front > 0 && 1 / front < 1 / nearness - 0.04;
  };
  const joints = jointsOf(skeleton);
  const body = BODY_POINTS.map((name, i): Keypoint => {
    const keypoint = toPicture(joints.body[i]!);
    const look = LOOKS[name];
    if (look && direction(skeleton.head, ...look[0])[2] < look[1]) return { ...keypoint, score: 0 };
    return keypoint;
  });
  return {
    body,
    leftHand: handKeypoints(skeleton.leftHand, toPicture, isHidden),
    rightHand: handKeypoints(skeleton.rightHand, toPicture, isHidden),
  };
}
