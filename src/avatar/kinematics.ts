import type { BodyShape } from "./identity.ts";
import type { FootPose, Pose } from "./motion.ts";
import type { ArmPose } from "./moves.ts";
import {
  add,
  addScaled,
  cross,
  direction,
  dot,
  type Frame,
  length,
  mix,
  moved,
  normalize,
  perpendicular,
  point,
  scale,
  smoothstep,
  sub,
  turned,
  type Vec3,
  WORLD,
} from "./vector.ts";

/** A bent limb: three joints and the axes of its two bones (y towards the body, x the hinge). */
export interface Limb {
  readonly start: Vec3;
  readonly middle: Vec3;
  readonly end: Vec3;
  readonly upper: Frame;
  readonly lower: Frame;
}

export interface Hand {
  /** Origin at the wrist; x across the palm to the thumb, y along the fingers, z out of the back or the palm. */
  readonly frame: Frame;
  /** 1 when z comes out of the palm, -1 when it comes out of the back. */
  readonly palm: 1 | -1;
  /** The 21 landmarks: wrist, then thumb, index, middle, ring and little finger from base to tip. */
  readonly landmarks: readonly Vec3[];
}

export interface Skeleton {
  readonly pelvis: Frame;
  readonly chest: Frame;
  readonly head: Frame;
  /** Base of the neck, at the height of the collar. */
  readonly neck: Vec3;
  /** Radius of the head, metres; the face is laid out in this unit. */
  readonly headRadius: number;
  readonly leftArm: Limb;
  readonly rightArm: Limb;
  readonly leftLeg: Limb;
  readonly rightLeg: Limb;
  readonly leftHand: Hand;
  readonly rightHand: Hand;
  /** Origin at the ankle, y up, z to the toes. */
  readonly leftFoot: Frame;
  readonly rightFoot: Frame;
}

/** Lengths of a body of `height` 1, metres. */
const THIGH = 0.43;
const SHIN = 0.42;
const UPPER_ARM = 0.285;
const FOREARM = 0.25;
export const ANKLE_HEIGHT = 0.085;
/** Heights above the hip joints along the straight spine. */
export const WAIST = 0.12;
export const CHEST = 0.28;
const SHOULDER = 0.44;
export const NECK = 0.52;

/** Height of the standing body, metres. */
export function standingHeight(body: BodyShape): number {
  const leg = (THIGH + SHIN) * body.legLength;
  return body.height * (ANKLE_HEIGHT + leg + NECK + 0.17 + 0.1 * body.headSize);
}

/** Half the width of the head, roughly, metres: the unit in which faces are laid out. */
export function headRadiusOf(body: BodyShape): number {
  return 0.1 * body.height * body.headSize;
}

/** Joins `root` to `target` by two bones whose joint points towards `pole`; the target is drawn in when too far. */
function bend(
  root: Vec3,
  target: Vec3,
  upper: number,
  lower: number,
  pole: Vec3,
): { middle: Vec3; end: Vec3 } {
  const to = sub(target, root);
  const along = normalize(to);
  const reach = (upper + lower) * 0.992;
  const shortest = Math.abs(upper - lower) + 0.25 * (upper + lower);
  const wanted = Math.max(shortest, length(to));
  // bends the last 6 % smoothly so that a stretching limb does not snap straight
  const knee = reach * 0.94;
  const span = wanted < knee ? wanted : knee + (reach - knee) * Math.tanh((wanted - knee) / (reach - knee));
  const cosine = (upper * upper + span * span - lower * lower) / (2 * upper * span);
  const sine = Math.sqrt(Math.max(0, 1 - cosine * cosine));
  const middle = addScaled(addScaled(root, along, upper * cosine), perpendicular(pole, along), upper * sine);
  return { middle, end: addScaled(root, along, span) };
}

/** Axes of a bone from `a` down to `b`; z is the side of `front`. */
function boneFrame(a: Vec3, b: Vec3, front: Vec3): Frame {
  const y = normalize(sub(a, b));
  const z = perpendicular(front, y);
  return { origin: a, x: cross(y, z), y, z };
}

function limb(start: Vec3, target: Vec3, upper: number, lower: number, pole: Vec3, front: Vec3): Limb {
  const { middle, end } = bend(start, target, upper, lower, pole);
  return { start, middle, end, upper: boneFrame(start, middle, front), lower: boneFrame(middle, end, front) };
}

/** Pushes a point of chest coordinates (metres of height 1) out of the trunk. */
function outOfTrunk(p: Vec3, body: BodyShape): Vec3 {
  const rx = 0.2 * Math.max(body.chest, body.hips);
  const rz = 0.16 + 0.04 * body.bust + 0.05 * body.belly;
  const d = Math.hypot(p[0] / rx, p[2] / rz);
  const inside = smoothstep(0.26, 0.16, p[1]) * Math.max(0, 1 - d);
  const k = 1 + inside / Math.max(d, 0.2);
  return [p[0] * k, p[1], p[2] * k];
}

function solveArm(body: BodyShape, chest: Frame, side: 1 | -1, pose: ArmPose): Limb {
  const [out, up, forward] = pose.reach;
  const h = body.height;
  const upper = UPPER_ARM * h * body.armLength;
  const lower = FOREARM * h * body.armLength;
  // the shoulder blade follows the arm: up when it rises, in and forward when it crosses
  const rise = 0.05 * smoothstep(-0.1, 0.95, up);
  const shoulderLocal: Vec3 = [
    side * (0.168 * body.shoulders - 0.02 * smoothstep(0.3, -0.4, out) - 0.4 * rise),
    SHOULDER - CHEST + rise,
    0.035 * forward - 0.012,
  ];
  const shoulder = point(chest, shoulderLocal[0] * h, shoulderLocal[1] * h, shoulderLocal[2] * h);
  const armLength = (upper + lower) / h;
  const wristLocal = outOfTrunk(
    [
      shoulderLocal[0] + side * out * armLength,
      shoulderLocal[1] + up * armLength,
      shoulderLocal[2] + forward * armLength,
    ],
    body,
  );
  const wrist = point(chest, wristLocal[0] * h, wristLocal[1] * h, wristLocal[2] * h);
  const along = normalize(sub(wrist, shoulder));
  // elbows point outward, down and back
  const rest = perpendicular(direction(chest, side * 0.45, -0.6, -0.65), along);
  const lifted = scale(cross(along, rest), side);
  const pole = add(scale(rest, Math.cos(pose.swivel)), scale(lifted, -Math.sin(pose.swivel)));
  return limb(shoulder, wrist, upper, lower, pole, scale(pole, -1));
}

const FINGERS: readonly { readonly base: Vec3; readonly bones: readonly [number, number, number] }[] = [
  { base: [0.026, 0.026, 0.006], bones: [0.036, 0.032, 0.027] },
  { base: [0.031, 0.09, 0], bones: [0.043, 0.026, 0.022] },
  { base: [0.01, 0.094, 0], bones: [0.048, 0.03, 0.023] },
  { base: [-0.011, 0.09, 0], bones: [0.044, 0.028, 0.022] },
  { base: [-0.031, 0.08, 0], bones: [0.034, 0.021, 0.019] },
];

/** Hands are drawn a little large: five fingers must survive in small pictures. */
export const HAND_SIZE = 1.16;

function solveHand(body: BodyShape, arm: Limb, side: 1 | -1, pose: ArmPose): Hand {
  const size = HAND_SIZE * body.height;
  const inward = scale(arm.lower.x, -side);
  const thumbward = add(scale(arm.lower.z, Math.cos(pose.twist)), scale(inward, Math.sin(pose.twist)));
  const palmward = add(scale(inward, Math.cos(pose.twist)), scale(arm.lower.z, -Math.sin(pose.twist)));
  const forearm = scale(arm.lower.y, -1);
  const y = normalize(add(scale(forearm, Math.cos(pose.flex)), scale(palmward, Math.sin(pose.flex))));
  const x = perpendicular(thumbward, y);
  const frame: Frame = { origin: arm.end, x, y, z: cross(x, y) };
  const palm = dot(frame.z, palmward) > 0 ? 1 : -1;
  const landmarks: Vec3[] = [arm.end];
  FINGERS.forEach(({ base, bones }, finger) => {
    const curl = pose.curl[finger]!;
    let p = point(frame, base[0] * size, base[1] * size, palm * base[2] * size);
    landmarks.push(p);
    // fingers bend about x towards the palm; the thumb bends across it
    const fan = finger === 0 ? 0.95 - 0.35 * curl + 0.2 * pose.spread : (2.2 - finger) * 0.13 * pose.spread;
    const straight = direction(frame, Math.sin(fan), Math.cos(fan), 0);
    const into = finger === 0 ? direction(frame, -0.75, 0.2, palm * 0.65) : scale(frame.z, palm);
    const towards = perpendicular(into, straight);
    const turns = finger === 0 ? [0.25, 0.6, 0.7] : [1.35, 1.65, 1.1];
    let angle = finger === 0 ? 0.1 : 0;
    bones.forEach((bone, j) => {
      angle += curl * turns[j]!;
      const d = add(scale(straight, Math.cos(angle)), scale(towards, Math.sin(angle)));
      p = addScaled(p, d, bone * size);
      landmarks.push(p);
    });
  });
  return { frame, palm, landmarks };
}

function footFrame(root: Frame, pose: FootPose, side: 1 | -1, body: BodyShape): Frame {
  const leg = (THIGH + SHIN) * body.legLength * body.height;
  const ankle = point(root, pose.x * leg, ANKLE_HEIGHT * body.height + pose.lift * leg, pose.z * leg);
  // a lifted foot points its toes down a little
  return moved(turned(root, { yaw: side * pose.turn, pitch: Math.min(0.5, pose.lift * 3) }), ankle);
}

/** Forward kinematics: where every joint of this body is in this pose. The person stands over the origin. */
export function solveSkeleton(body: BodyShape, pose: Pose): Skeleton {
  const h = body.height;
  const thigh = THIGH * h * body.legLength;
  const shin = SHIN * h * body.legLength;
  const leg = thigh + shin;
  const root = turned(WORLD, { yaw: pose.yaw });
  const leftFoot = footFrame(root, pose.leftFoot, 1, body);
  const rightFoot = footFrame(root, pose.rightFoot, -1, body);

  const hipAxes = turned(root, pose.pelvis);
  const hipWidth = 0.088 * h * body.hips;
  const over = point(root, pose.shift * leg, 0, 0);
  // as high as both legs allow, minus the bounce of the knees
  const height = Math.min(
    ...[leftFoot, rightFoot].map((foot, i) => {
      const hip = addScaled(over, hipAxes.x, i === 0 ? hipWidth : -hipWidth);
      const flat = Math.hypot(hip[0] - foot.origin[0], hip[2] - foot.origin[2]);
      const lowest = ANKLE_HEIGHT * h;
      return lowest + Math.sqrt(Math.max(0.1, (0.985 * leg) ** 2 - flat * flat)) - (hip[1] - over[1]);
    }),
  );
  const pelvis = moved(hipAxes, [over[0], height - pose.sink * leg, over[2]]);

  const half = { yaw: pose.spine.yaw / 2, pitch: pose.spine.pitch / 2, roll: pose.spine.roll / 2 };
  const loin = turned(pelvis, half);
  const chestAxes = turned(loin, half);
  const waist = point(pelvis, 0, WAIST * h, 0);
  const chest = moved(chestAxes, addScaled(waist, loin.y, (CHEST - WAIST) * h));
  const neck = point(chest, 0, (NECK - CHEST) * h, -0.012 * h);
  const neckAxes = turned(chest, {
    yaw: pose.head.yaw * 0.4,
    pitch: pose.head.pitch * 0.4,
    roll: pose.head.roll * 0.5,
  });
  const headAxes = turned(neckAxes, {
    yaw: pose.head.yaw * 0.6,
    pitch: pose.head.pitch * 0.6,
    roll: pose.head.roll * 0.5,
  });
  const headRadius = headRadiusOf(body);
  const nape = addScaled(neck, neckAxes.y, 0.055 * h);
  const head = moved(headAxes, add(nape, direction(headAxes, 0, 1.02 * headRadius, 0.16 * headRadius)));

  const [leftArm, rightArm] = [
    solveArm(body, chest, 1, pose.leftArm),
    solveArm(body, chest, -1, pose.rightArm),
  ];
  const solveLeg = (side: 1 | -1, foot: Frame): Limb => {
    const hip = point(pelvis, side * hipWidth, 0, 0);
    const knee = add(mix(hipAxes.z, foot.z, 0.5), scale(hipAxes.x, side * 0.1));
    return limb(hip, foot.origin, thigh, shin, knee, knee);
  };
  const [leftLeg, rightLeg] = [solveLeg(1, leftFoot), solveLeg(-1, rightFoot)];
  return {
    pelvis,
    chest,
    head,
    neck,
    headRadius,
    leftArm,
    rightArm,
    leftLeg,
    rightLeg,
    leftHand: solveHand(body, leftArm, 1, pose.leftArm),
    rightHand: solveHand(body, rightArm, -1, pose.rightArm),
    leftFoot: moved(leftFoot, leftLeg.end),
    rightFoot: moved(rightFoot, rightLeg.end),
  };
}
