import { type BodyPoint, type Keypoint, bodyIndex } from "../media/pose-keypoints.ts";
import { adultShare, BONES, FACE_POINTS, FOOT_POINTS, type Joint, type Limb, LIMBS } from "./body-limbs.ts";
import type { PersonFrame } from "./person-frame.ts";
import type { Point } from "./region.ts";

/** Least confidence of a point that is measured: that of drawn ones. */
const SEEN = 0.3;

/** Lengths and places of one person in one frame, in its pixels. */
export interface FrameMeasure {
  /** Of `LIMBS`, in order; 0 where an end is not seen. */
  readonly lengths: Float64Array;
  readonly neck: Point | null;
  readonly pelvis: Point | null;
  /** y of the lowest point of the feet. */
  readonly floor: number | null;
}

/** Whether a point has a place at all and is at least as sure as `least`. */
function isSeen({ x, y, score }: Keypoint, least = SEEN): boolean {
  return score >= least && score > 0 && Number.isFinite(x + y);
}

/** Where a joint is; null when it is not seen. The pelvis is the middle of the hips, or the only hip seen. */
export function jointOf({ pose }: Pick<PersonFrame, "pose">, joint: Joint, least = SEEN): Point | null {
  const at = (name: BodyPoint): Point | null => {
    const point = pose.body[bodyIndex(name)]!;
    return isSeen(point, least) ? point : null;
  };
  if (joint !== "pelvis") return at(joint);
  const [right, left] = [at("rightHip"), at("leftHip")];
  if (!right || !left) return right ?? left;
  return { x: (right.x + left.x) / 2, y: (right.y + left.y) / 2 };
}

export function measureFrame(frame: Pick<PersonFrame, "pose">): FrameMeasure {
  const at = (joint: Joint): Point | null => jointOf(frame, joint);
  const lengths = new Float64Array(LIMBS.length);
  const set = (limb: Limb, length: number): void => void (lengths[LIMBS.indexOf(limb)] = length);
  for (const { from, to, limb, reach } of BONES) {
    if (reach === 1 && limb !== "face") set(limb, distance(at(from), at(to)));
  }
  set("trunk", distance(at("pelvis"), at("neck")));
  const face = FACE_POINTS.map(at);
  set("face", Math.max(...face.flatMap((a, i) => face.slice(0, i).map((b) => distance(a, b))), 0));
  const feet = FOOT_POINTS.flatMap((name) => at(name) ?? []);
  const floor = feet.length > 0 ? Math.max(...feet.map(({ y }) => y)) : null;
  return { lengths, neck: at("neck"), pelvis: at("pelvis"), floor };
}

function distance(a: Point | null, b: Point | null): number {
  return a && b ? Math.hypot(a.x - b.x, a.y - b.y) : 0;
}

/** One limb's length in a measured frame; 0 when it was not seen. */
export function lengthOf({ lengths }: FrameMeasure, limb: Limb): number {
  return lengths[LIMBS.indexOf(limb)]!;
}

/** A limb is known of a clip when this share of its frames shows it. */
const KNOWN_SHARE = 0.1;

/** The measures of a clip, frame by frame: about 200 bytes each. */
export class BodyMeasure {
  private readonly frames: FrameMeasure[] = [];
  /** Frames in which each body point was seen. */
  private readonly numSeen = new Map<BodyPoint, number>();

  add(frame: PersonFrame): void {
    this.frames.push(measureFrame(frame));
    for (const { to } of BONES) {
      if (to !== "pelvis" && jointOf(frame, to)) this.numSeen.set(to, (this.numSeen.get(to) ?? 0) + 1);
    }
  }

  /** Whether a body point was seen in more than a stray frame. */
  hasSeen(point: BodyPoint): boolean {
    return this.isUsual(this.numSeen.get(point) ?? 0);
  }

  /** Whether a limb is seen in more than stray frames. */
  knows(limb: Limb): boolean {
    return this.isUsual(this.frames.filter((frame) => lengthOf(frame, limb) > 0).length);
  }

  /** The usual apparent height in pixels, as some limbs tell it; null when they are never seen. */
  size(limbs: readonly Limb[]): number | null {
    return median(this.frames.flatMap((frame) => apparentHeight(frame, limbs) ?? []));
  }

  /**
   * Full length of a limb as a share of the apparent height. Limbs that point to the viewer look shorter, so that
   * length is the one that a tenth of the frames exceeds. 0 when the limb is not known.
   */
  proportion(limb: Limb, limbs: readonly Limb[]): number {
    const shares = this.frames.flatMap((frame) => {
      const [length, height] = [lengthOf(frame, limb), apparentHeight(frame, limbs)];
      return length > 0 && height !== null ? [length / height] : [];
    });
    return this.isUsual(shares.length) ? (quantile(shares, FULL_LENGTH) ?? 0) : 0;
  }

  /** The usual place of a joint; null when it is seen in less than half of the frames. */
  usual(joint: "neck" | "pelvis"): Point | null {
    const points = this.frames.flatMap((frame) => frame[joint] ?? []);
    if (2 * points.length < this.frames.length) return null;
    const [x, y] = [median(points.map((p) => p.x)), median(points.map((p) => p.y))];
    return x === null || y === null ? null : { x, y };
  }

  /** y of the floor: where the lower foot usually is. Null when feet are seen in less than half of the frames. */
  floor(): number | null {
    const floors = this.frames.flatMap(({ floor }) => floor ?? []);
    return 2 * floors.length < this.frames.length ? null : median(floors);
  }

  private isUsual(numFrames: number): boolean {
    return numFrames > 0 && numFrames >= KNOWN_SHARE * this.frames.length;
  }
}

const FULL_LENGTH = 0.9;

/**
 * How tall a person appears in pixels, judged by each limb's share in an average adult; of the limbs' opinions the
 * upper quartile, since foreshortening only makes them smaller. Null when no limb is seen.
 */
export function apparentHeight(frame: FrameMeasure, limbs: readonly Limb[]): number | null {
  const opinions = limbs.flatMap((limb) => {
    const length = lengthOf(frame, limb);
    return length > 0 ? [length / adultShare(limb)] : [];
  });
  return quantile(opinions, 0.75);
}

const median = (values: readonly number[]): number | null => quantile(values, 0.5);

/** One of the values: equal values give exactly that value. Null of none. */
function quantile(values: readonly number[], share: number): number | null {
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? null;
}
