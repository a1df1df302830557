import {
  BODY_POINTS,
  type BodyPoint,
  bodyIndex,
  type Keypoint,
  UNSEEN,
  UNSEEN_HAND,
} from "../media/pose-keypoints.ts";
import type { AlignmentPlan } from "./alignment-plan.ts";
import { type Bone, BONES, FOOT_POINTS, type Joint, type Limb } from "./body-limbs.ts";
import { apparentHeight, jointOf, measureFrame } from "./body-measure.ts";
import { movePatch } from "./normal-patch.ts";
import type { PersonFrame } from "./person-frame.ts";
import type { Point } from "./region.ts";

/** The driver may come this much nearer or go this much farther than it usually is, as a factor. */
const MAX_APPROACH = 2;

/** Fingers reach this share of the forearm beyond the wrist at most, perspective included. */
const HAND_REACH = 1.5;

/**
 * One frame of a driver as the person of the reference would move. Sizes, depths and places are those of the output,
 * as the given frame's must be. Every bone keeps its direction; its length is the driver's times the ratio of the two
 * bodies' full lengths, and never beyond the reference's own.
 */
export function alignFrame(given: PersonFrame, plan: AlignmentPlan): PersonFrame {
  const frame = withoutFaults(given);
  const tree = plan.mode === "bones" ? new BoneTree(frame, plan) : null;
  const toFrame = framing(plan);
  const lift = tree?.lift() ?? 0;
  const body = BODY_POINTS.map((name, i): Keypoint => {
    const point = frame.pose.body[i]!;
    const placed = tree?.places.get(name);
    if (placed) return { x: placed.x, y: placed.y + lift, score: tree!.scoreOf(name) };
    return { ...toFrame(point), score: tree && plan.absent.has(name) ? 0 : point.score };
  });
  const [left, right] = (["left", "right"] as const).map((side) => {
    const points = frame.pose[`${side}Hand`];
    const root = points[0]!;
    const wrist = tree?.source(`${side}Wrist`);
    const anchor = wrist ?? root;
    const at = wrist ? tree!.places.get(`${side}Wrist`)! : toFrame(root);
    const scale = tree ? tree.handScale(side, points, anchor) : plan.scale;
    const hand = points.map(({ x, y, score }) => ({
      x: at.x + (x - anchor.x) * scale,
      y: at.y + lift + (y - anchor.y) * scale,
      score,
    }));
    return { hand, depths: frame.depths[side].map((depth) => depth * scale) };
  }) as [AlignedHand, AlignedHand];
  return {
    ...frame,
    pose: { body, leftHand: left.hand, rightHand: right.hand },
    depths: { left: left.depths, right: right.depths },
    ...(frame.surfaces && {
      surfaces: {
        left: frame.surfaces.left && movePatch(frame.surfaces.left, frame.pose.leftHand, left.hand),
        right: frame.surfaces.right && movePatch(frame.surfaces.right, frame.pose.rightHand, right.hand),
      },
    }),
  };
}

interface AlignedHand {
  readonly hand: Keypoint[];
  readonly depths: number[];
}

/** Points and depths that are no numbers become unseen. */
function withoutFaults(frame: PersonFrame): PersonFrame {
  const clean = (point: Keypoint): Keypoint =>
    Number.isFinite(point.x + point.y + point.score) ? point : UNSEEN;
  const { body, leftHand, rightHand } = frame.pose;
  // A hand is one: the depths of all its points go with it.
  const hand = (points: readonly Keypoint[], depths: readonly number[]): readonly Keypoint[] =>
    [...points.flatMap(({ x, y, score }) => [x, y, score]), ...depths].every(Number.isFinite)
      ? points
      : UNSEEN_HAND;
  const finite = (depths: readonly number[]): number[] =>
    depths.map((depth) => (Number.isFinite(depth) ? depth : 0));
  return {
    ...frame,
    pose: {
      body: body.map(clean),
      leftHand: hand(leftHand, frame.depths.left),
      rightHand: hand(rightHand, frame.depths.right),
    },
    depths: { left: finite(frame.depths.left), right: finite(frame.depths.right) },
  };
}

/** Scales around the driver's usual place and brings that to the reference's. */
function framing({ scale, from, to }: AlignmentPlan): (point: Point) => Point {
  return ({ x, y }) => ({ x: to.x + (x - from.x) * scale, y: to.y + (y - from.y) * scale });
}

/** The joints of one frame, placed one by one from the root outwards. */
class BoneTree {
  /** Where joints come to lie, before the feet are put on the floor. */
  readonly places = new Map<Joint, Point>();
  /** Where they are in the driver's frame; joints that the driver never shows have no such place. */
  private readonly sources = new Map<Joint, Point>();
  private readonly toFrame: (point: Point) => Point;
  /** How near the driver is, 1 where it usually is. */
  private readonly approach: number;

  constructor(
    private readonly frame: PersonFrame,
    private readonly plan: AlignmentPlan,
  ) {
    this.toFrame = framing(plan);
    const height = apparentHeight(measureFrame(frame), plan.sizeLimbs);
    const approach = height === null ? 1 : height / plan.driverHeight;
    this.approach = Math.min(MAX_APPROACH, Math.max(1 / MAX_APPROACH, approach));
    this.plantRoot();
    for (const bone of BONES) this.place(bone);
  }

  /** Where the driver's frame shows a joint that is placed. */
  source(joint: Joint): Point | undefined {
    return this.sources.get(joint);
  }

  /**
   * Confidence of a placed point. Where the driver never shows it that of the reference, as long as this frame shows what
   * it hangs on: nothing floats.
   */
  scoreOf(name: BodyPoint): number {
    const { frame, plan } = this;
    if (!plan.absent.has(name)) return frame.pose.body[bodyIndex(name)]!.score;
    const own = plan.reference.pose.body[bodyIndex(name)]!.score;
    const joint = this.boneTo(name)?.from;
    return joint === undefined || joint === "pelvis" ? own : Math.min(own, this.scoreOf(joint));
  }

  /** How far all must move down for the feet to be as high over the floor as the driver's. */
  lift(): number {
    const { plan, frame } = this;
    if (!plan.standsOnFloor) return 0;
    const feet = FOOT_POINTS.flatMap((name) => {
      const [source, place] = [jointOf(frame, name), this.places.get(name)];
      return source && place ? [{ source, place }] : [];
    });
    const most = 0.5 * plan.scale * plan.driverHeight;
    if (feet.length === 0) return Math.min(most, Math.max(-most, -this.growthOfLegs()));
    const wanted = this.toFrame({ x: 0, y: Math.max(...feet.map(({ source }) => source.y)) }).y;
    const lift = wanted - Math.max(...feet.map(({ place }) => place.y));
    return Math.min(most, Math.max(-most, lift));
  }

  /** Scale of a hand, which grows with its forearm. */
  handScale(side: "left" | "right", points: readonly Keypoint[], anchor: Point): number {
    const limb: Limb = `${side}Forearm`;
    const reach = Math.max(...points.map(({ x, y }) => Math.hypot(x - anchor.x, y - anchor.y)));
    return Math.min(this.plan.scale * this.plan.ratios[limb], (HAND_REACH * this.limit(limb)) / (reach || 1));
  }

  /** How much longer the straight legs are than the driver's, scaled. */
  private growthOfLegs(): number {
    const { ratios, driverLengths, scale } = this.plan;
    const growth = (limb: Limb): number => (ratios[limb] - 1) * driverLengths[limb] * scale;
    return (growth("leftThigh") + growth("leftShin") + growth("rightThigh") + growth("rightShin")) / 2;
  }

  /** The root where the framing brings it, and the other end of the trunk. */
  private plantRoot(): void {
    const { plan, frame } = this;
    const other = plan.root === "pelvis" ? "neck" : "pelvis";
    const sourceOf = (joint: Joint): Point | null =>
      plan.absent.has(joint) ? null : jointOf(frame, joint, 0);
    const [seen, seenOther] = [sourceOf(plan.root), sourceOf(other)];
    const source = seen ?? (seenOther && this.opposite(seenOther));
    if (source) {
      this.sources.set(plan.root, source);
      this.places.set(plan.root, this.withinReason(this.toFrame(source)));
    }
    this.place({ from: plan.root, to: other, limb: "trunk", reach: 1 });
  }

  /** Where the root would be if the person stood upright. */
  private opposite({ x, y }: Point): Point {
    const trunk = this.plan.driverLengths.trunk * this.approach;
    return { x, y: this.plan.root === "pelvis" ? y + trunk : y - trunk };
  }

  /** A root more than a picture away from the picture is a fault. */
  private withinReason({ x, y }: Point): Point {
    const { width, height } = this.frame.size;
    const within = (value: number, size: number): number => Math.min(2 * size, Math.max(-size, value));
    return { x: within(x, width), y: within(y, height) };
  }

  /** Greatest length of a limb in this frame, in pixels of the result. */
  private limit(limb: Limb): number {
    return this.plan.limits[limb] * this.approach;
  }

  private place(bone: Bone): void {
    const { plan, frame } = this;
    const isAbsent = plan.absent.has(bone.to);
    const source = isAbsent ? null : jointOf(frame, bone.to, 0);
    // What stands in for an absent joint stays where it is, as far as the bones allow.
    const target = isAbsent ? jointOf(plan.reference, bone.to) : null;
    if (!source && !target) return;
    if (source) this.sources.set(bone.to, source);
    const parent = this.parentOf(bone, source !== null);
    if (!parent) {
      if (source) this.places.set(bone.to, this.withinReason(this.toFrame(source)));
      return;
    }
    const { at, from, limit } = parent;
    const [dx, dy] = source ? [source.x - from!.x, source.y - from!.y] : [target!.x - at.x, target!.y - at.y];
    const wanted = source ? plan.scale * plan.ratios[bone.limb] : 1;
    const scale = Math.min(wanted, limit / Math.max(Math.hypot(dx, dy), Number.MIN_VALUE));
    this.places.set(bone.to, { x: at.x + dx * scale, y: at.y + dy * scale });
  }

  /**
   * The nearest joint towards the root that has a place, and the greatest distance from it. A joint that the driver
   * shows hangs on one that it shows too.
   */
  private parentOf(bone: Bone, isShown: boolean): { at: Point; from: Point | null; limit: number } | null {
    let limit = 0;
    for (let link: Bone | undefined = bone; link; link = this.boneTo(link.from)) {
      limit += link.reach * this.limit(link.limb);
      const [at, from] = [this.places.get(link.from), this.sources.get(link.from) ?? null];
      if (at && (from || !isShown)) return { at, from, limit };
    }
    return null;
  }

  private boneTo(joint: Joint): Bone | undefined {
    if (joint === this.plan.root) return undefined;
    if (joint === "neck" || joint === "pelvis") {
      return { from: joint === "neck" ? "pelvis" : "neck", to: joint, limb: "trunk", reach: 1 };
    }
    return BONES.find(({ to }) => to === joint);
  }
}
