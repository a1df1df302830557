import {
  adultShare,
  BONES,
  type Joint,
  type Limb,
  LIMBS,
  mirrored,
  neighbourOf,
  SIZE_LIMBS,
} from "./body-limbs.ts";
import { BodyMeasure } from "./body-measure.ts";
import type { PersonFrame } from "./person-frame.ts";
import type { Point } from "./region.ts";

/**
 * How a driving motion is fitted to the person in the reference image. `off`: not at all. `frame`: moved and scaled as
 * a whole to where and how large that person is. `bones`: also given that person's bone lengths.
 */
export const ALIGNMENTS = ["off", "frame", "bones"] as const;

export type AlignmentMode = (typeof ALIGNMENTS)[number];

/** How a driver becomes the person of the reference, in pixels of the output. */
export interface AlignmentPlan {
  readonly mode: AlignmentMode;
  /** Size of the reference person over that of the driver. */
  readonly scale: number;
  /** The joint that the tree of bones grows from, and whose usual place is brought to the reference's. */
  readonly root: "neck" | "pelvis";
  /** That place of the driver; y is that of the floor where both stand on one. */
  readonly from: Point;
  readonly to: Point;
  readonly standsOnFloor: boolean;
  /** Each limb's share of the reference's height over its share of the driver's. */
  readonly ratios: Readonly<Record<Limb, number>>;
  /** Each limb's greatest length in the reference, in pixels. */
  readonly limits: Readonly<Record<Limb, number>>;
  /** Each limb's usual full length in the driver, in its pixels. */
  readonly driverLengths: Readonly<Record<Limb, number>>;
  /** Limbs that tell the driver's size, and the usual one in pixels. */
  readonly sizeLimbs: readonly Limb[];
  readonly driverHeight: number;
  /**
   * Joints that the driver does not show, nor any beyond them, such as the legs of a close-up: the reference's own stand
   * in for them.
   */
  readonly absent: ReadonlySet<Joint>;
  readonly reference: PersonFrame;
}

/** What `auto` takes for the same person in the same place. */
const SAME = { scale: 1.1, shift: 0.06, ratio: 1.1, legs: 1.2 };

/**
 * Compares a driver with the person of the reference. Both in pixels of the output.
 * @param mode `auto`: `bones` where size, place or proportions of the two differ, `off` where they do not
 * @returns null where there is nothing to do, or nothing that both show to compare
 */
export function planAlignment(
  reference: PersonFrame,
  driver: BodyMeasure,
  mode: AlignmentMode | "auto",
): AlignmentPlan | null {
  if (mode === "off") return null;
  const goal = new BodyMeasure();
  goal.add(reference);
  const sizeLimbs = SIZE_LIMBS.filter((limb) => goal.knows(limb) && driver.knows(limb));
  const [goalHeight, driverHeight] = [goal.size(sizeLimbs), driver.size(sizeLimbs)];
  const place = commonPlace(goal, driver);
  if (goalHeight === null || driverHeight === null || place === null) return null;

  const shares = (body: BodyMeasure): Shares => byLimb((limb) => body.proportion(limb, sizeLimbs));
  const [goalShares, driverShares] = [shares(goal), shares(driver)];
  const scale = goalHeight / driverHeight;
  const isEqual = LIMBS.every((limb) => goalShares[limb] === driverShares[limb]);
  const { from, to } = place;
  if (scale === 1 && from.x === to.x && from.y === to.y && isEqual) return null;

  const known = { goal: knownShares(goalShares), driver: knownShares(driverShares) };
  const ratios = byLimb((limb) => ratioOf(limb, known.goal, known.driver));
  if (mode === "auto") {
    const shift = Math.hypot(to.x - from.x, to.y - from.y) / goalHeight;
    const differs = Math.exp(Math.abs(Math.log(scale))) > SAME.scale || shift > SAME.shift;
    if (!differs && usualDifference(ratios) <= SAME.ratio && legDifference(ratios) <= SAME.legs) return null;
  }
  const fullShare = (limb: Limb): number => known.driver[limb] ?? adultShare(limb);
  return {
    mode: mode === "auto" ? "bones" : mode,
    scale,
    ...place,
    ratios,
    limits: byLimb((limb) => goalHeight * (known.goal[limb] ?? ratios[limb] * fullShare(limb))),
    driverLengths: byLimb((limb) => driverHeight * fullShare(limb)),
    sizeLimbs,
    driverHeight,
    absent: new Set(JOINTS.filter((joint) => isAbsent(joint, driver))),
    reference,
  };
}

const JOINTS: readonly Joint[] = ["pelvis", ...BONES.map(({ to }) => to)];

function isAbsent(joint: Joint, driver: BodyMeasure): boolean {
  const isShown = joint !== "pelvis" && driver.hasSeen(joint);
  return !isShown && BONES.every(({ from, to }) => from !== joint || isAbsent(to, driver));
}

type Shares = Readonly<Record<Limb, number>>;

type KnownShares = Readonly<Record<Limb, number | null>>;

function byLimb<T>(of: (limb: Limb) => T): Record<Limb, T> {
  return Object.fromEntries(LIMBS.map((limb) => [limb, of(limb)])) as Record<Limb, T>;
}

/** Where both usually are: by the hips, else by the neck; up and down by the floor where both show their feet. */
function commonPlace(
  goal: BodyMeasure,
  driver: BodyMeasure,
): Pick<AlignmentPlan, "root" | "from" | "to" | "standsOnFloor"> | null {
  for (const root of ["pelvis", "neck"] as const satisfies readonly Joint[]) {
    const [to, from] = [goal.usual(root), driver.usual(root)];
    if (!to || !from) continue;
    const [toFloor, fromFloor] = [goal.floor(), driver.floor()];
    if (root === "neck" || toFloor === null || fromFloor === null) {
      return { root, from, to, standsOnFloor: false };
    }
    return { root, from: { x: from.x, y: fromFloor }, to: { x: to.x, y: toFloor }, standsOnFloor: true };
  }
  return null;
}

/**
 * Lengths outside this range of an adult's are not believed: such a limb points to the viewer, is seen from the side
 * (shoulders and hips), or was found in the wrong place. Children's are within it.
 */
const BELIEVED = { least: 0.55, most: 1.9 };

/** Believed shares; those of the other side where a limb's own is not. */
function knownShares(shares: Shares): KnownShares {
  const believed = (limb: Limb): number | null => {
    const relative = shares[limb] / adultShare(limb);
    return relative >= BELIEVED.least && relative <= BELIEVED.most ? shares[limb] : null;
  };
  return byLimb((limb) => believed(limb) ?? believed(mirrored(limb)));
}

/** A limb that one of the two does not show grows as its neighbour in the same arm or leg does, or not at all. */
function ratioOf(limb: Limb, goal: KnownShares, driver: KnownShares): number {
  const neighbour = neighbourOf(limb);
  for (const each of neighbour ? [limb, neighbour] : [limb]) {
    const [wanted, given] = [goal[each], driver[each]];
    if (wanted !== null && given !== null) return wanted / given;
  }
  return 1;
}

/** By how much the ratio in the middle of all departs from 1, as a factor of at least 1. */
function usualDifference(ratios: Shares): number {
  const factors = LIMBS.map((limb) => Math.exp(Math.abs(Math.log(ratios[limb])))).sort((a, b) => a - b);
  return factors[Math.floor(factors.length / 2)]!;
}

const LEG: readonly Limb[] = ["leftThigh", "leftShin", "rightThigh", "rightShin"];

/**
 * By how much legs are longer or shorter, as a factor of at least 1; 1 where not all parts of both are alike in that: what
 * is bent or turned differs in some parts only. A child that fills the picture as an adult does is told by its legs.
 */
function legDifference(ratios: Shares): number {
  const logs = LEG.map((limb) => Math.log(ratios[limb]));
  const isAlike = logs.every((log) => log > 0) || logs.every((log) => log < 0);
  return isAlike ? Math.exp(Math.abs(logs.reduce((sum, log) => sum + log, 0)) / LEG.length) : 1;
}
