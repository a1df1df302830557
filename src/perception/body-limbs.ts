import type { BodyPoint } from "../media/pose-keypoints.ts";

/** Lengths that tell bodies apart. The face is one: its points are scaled together. */
export const LIMBS = [
  "trunk",
  "head",
  "face",
  "rightShoulder",
  "rightUpperArm",
  "rightForearm",
  "rightHip",
  "rightThigh",
  "rightShin",
  "leftShoulder",
  "leftUpperArm",
  "leftForearm",
  "leftHip",
  "leftThigh",
  "leftShin",
] as const;

export type Limb = (typeof LIMBS)[number];

/** A joint of the tree: a body point, or the middle of the hips. */
export type Joint = BodyPoint | "pelvis";

/**
 * Lengths of an average adult as shares of the body's height, between joints as pose networks place them: proportions of
 * Drillis and Contini, widths halved (each side from the middle). The face from ear to ear lies between those of real
 * and of drawn people, 0.07 to 0.19.
 */
const ADULT: Readonly<Record<string, number>> = {
  trunk: 0.29,
  head: 0.115,
  face: 0.11,
  Shoulder: 0.105,
  UpperArm: 0.17,
  Forearm: 0.146,
  Hip: 0.055,
  Thigh: 0.235,
  Shin: 0.235,
};

/** The limb's length in an average adult, as a share of their height. */
export function adultShare(limb: Limb): number {
  return ADULT[limb.replace(/^(?:left|right)/, "")]!;
}

/** The same limb on the other side; itself where there is none. */
export function mirrored(limb: Limb): Limb {
  if (limb.startsWith("left")) return `right${limb.slice(4)}` as Limb;
  return (limb.startsWith("right") ? `left${limb.slice(5)}` : limb) as Limb;
}

/** The other limb of the same arm or leg, which grows with it; null for others. */
export function neighbourOf(limb: Limb): Limb | null {
  const pairs = { UpperArm: "Forearm", Forearm: "UpperArm", Thigh: "Shin", Shin: "Thigh" } as const;
  const [, side, part] = /^(left|right)(.*)$/.exec(limb) ?? [];
  const other = pairs[part as keyof typeof pairs];
  return other === undefined ? null : (`${side}${other}` as Limb);
}

/** Limbs whose length tells how large a person appears: long ones, and those of a close-up. */
export const SIZE_LIMBS: readonly Limb[] = LIMBS.filter((limb) => !/face|Hip$/.test(limb));

export interface Bone {
  readonly from: Joint;
  readonly to: Joint;
  /** The limb whose ratio scales it. */
  readonly limb: Limb;
  /** Its greatest length as a share of that limb's. */
  readonly reach: number;
}

const arm = (side: "left" | "right"): Bone[] => [
  { from: "neck", to: `${side}Shoulder`, limb: `${side}Shoulder`, reach: 1 },
  { from: `${side}Shoulder`, to: `${side}Elbow`, limb: `${side}UpperArm`, reach: 1 },
  { from: `${side}Elbow`, to: `${side}Wrist`, limb: `${side}Forearm`, reach: 1 },
];

/** A foot seen from the front at a short distance is drawn out by perspective. */
const FOOT_REACH = 0.8;

const leg = (side: "left" | "right"): Bone[] => [
  { from: "pelvis", to: `${side}Hip`, limb: `${side}Hip`, reach: 1 },
  { from: `${side}Hip`, to: `${side}Knee`, limb: `${side}Thigh`, reach: 1 },
  { from: `${side}Knee`, to: `${side}Ankle`, limb: `${side}Shin`, reach: 1 },
  ...([`${side}Heel`, `${side}BigToe`, `${side}SmallToe`] as const).map((to): Bone => ({
    from: `${side}Ankle`,
    to,
    limb: `${side}Shin`,
    reach: FOOT_REACH,
  })),
];

/** From the neck and the pelvis outwards, parents before children. What joins those two is the trunk. */
export const BONES: readonly Bone[] = [
  { from: "neck", to: "nose", limb: "head", reach: 1 },
  ...(["rightEye", "leftEye", "rightEar", "leftEar"] as const).map((to): Bone => ({
    from: "nose",
    to,
    limb: "face",
    reach: 1,
  })),
  ...arm("right"),
  ...arm("left"),
  ...leg("right"),
  ...leg("left"),
];

/** Points that can stand on the floor. */
export const FOOT_POINTS: readonly BodyPoint[] = [
  "rightAnkle",
  "leftAnkle",
  "rightHeel",
  "leftHeel",
  "rightBigToe",
  "leftBigToe",
  "rightSmallToe",
  "leftSmallToe",
];

export const FACE_POINTS: readonly BodyPoint[] = ["nose", "rightEye", "leftEye", "rightEar", "leftEar"];
