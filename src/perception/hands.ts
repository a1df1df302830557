import { Lane } from "../runtime/lane.ts";
import type { Runner } from "../runtime/runner.ts";
import { Session } from "../runtime/session.ts";
import { SessionPool } from "../runtime/session-pool.ts";
import { float32 } from "../tensor/tensor.ts";
import { type Point3, bodyPoint, unrotated } from "./body-landmarks.ts";
import { type Side, isAtWrist, regionAroundWrist, regionFromBody, regionFromHand } from "./hand-regions.ts";
import { detectPalms } from "./palm-detector.ts";
import type { BodyPose } from "./pose.ts";
import { type ImagePyramid, type Point, type Region, fromRegion, sampleRegion } from "./region.ts";
import { loadConvertedModel } from "./tflite/model-cache.ts";

/** One of the 21 points of a hand: the wrist, then four per finger from the thumb on, root to tip. */
export interface HandLandmark extends Point {
  /** Depth in pixels, relative to the wrist; smaller is nearer to the viewer. */
  readonly z: number;
  /** Metres from the middle of the hand. */
  readonly world: Point3;
}

export interface HandPose {
  readonly landmarks: readonly HandLandmark[];
  /** Confidence that the region shows a hand, 0..1. */
  readonly score: number;
  /** Probability that it is a right hand. */
  readonly rightness: number;
  readonly region: Region;
}

export interface HandsObservation {
  readonly left: HandPose | null;
  readonly right: HandPose | null;
}

const RESOLUTION = 224;
/** Hands below are not reported. */
const MIN_SCORE = 0.5;
/** A hand at least this sure is not looked for elsewhere. */
const SURE_SCORE = 0.8;
/** Times a region is moved to where the hand in it was found. Each look centres it better. */
const MAX_REFINEMENTS = 3;

export interface HandTrackerOptions {
  readonly cacheFolder?: string;
  /** Another thread, which looks at hands as well while it has nothing to do. */
  readonly helper?: Lane;
}

/**
 * Follows both hands of one person. A hand is looked for where it was in the frame before, moved with the wrist; if
 * that is not convincing, where the body's points put it; and then where a palm is detected around the wrist.
 */
export class HandTracker {
  private previous: Record<Side, { hand: HandPose; wrist: Point } | null> = { left: null, right: null };

  private constructor(
    private readonly lane: Lane,
    private readonly landmarker: Runner,
    private readonly palmDetector: Session,
  ) {}

  /** Converts the networks at first use (a second); they run in a thread of their own. */
  static async load({ cacheFolder, helper }: HandTrackerOptions = {}): Promise<HandTracker> {
    const handModel = await loadConvertedModel("hand", cacheFolder);
    const palmModel = await loadConvertedModel("palm-detector", cacheFolder);
    const lane = new Lane();
    const lanes = helper ? [lane, helper] : [lane];
    const landmarker = await SessionPool.create(handModel, lanes, { name: "hand network" });
    const palmDetector = await Session.create(palmModel, { lane, name: "palm detector" });
    return new HandTracker(lane, landmarker, palmDetector);
  }

  /** The hands in the next frame, of the body found in it. */
  async next(frame: ImagePyramid, body: BodyPose | null): Promise<HandsObservation> {
    // Side by side: one is cut out of the picture while the network looks at the other.
    const [left, right] = await Promise.all([
      body && this.find(frame, body, "left"),
      body && this.find(frame, body, "right"),
    ]);
    const hands = withoutSharedHand({ left, right });
    for (const side of ["left", "right"] as const) {
      const hand = hands[side];
      this.previous[side] = hand && body ? { hand, wrist: bodyPoint(body.landmarks, `${side}Wrist`) } : null;
    }
    return hands;
  }

  /** Forgets both hands, for a frame that does not follow the last one. */
  reset(): void {
    this.previous = { left: null, right: null };
  }

  async release(): Promise<void> {
    await this.landmarker.release();
    await this.lane.close();
  }

  private async find(frame: ImagePyramid, body: BodyPose, side: Side): Promise<HandPose | null> {
    const around = regionAroundWrist(body, side);
    if (isOutside(around, frame)) return null;
    const at = async (region: Region, refinements: number): Promise<HandPose | null> =>
      this.refine(frame, region, refinements, (hand) =>
        isAtWrist(hand.landmarks[0]!, hand.region.size, body, side),
      );
    const followed = this.followedRegion(body, side);
    let best = followed && (await at(followed, 0));
    if (!isSure(best)) best = better(best, await at(regionFromBody(body, side), MAX_REFINEMENTS));
    if (!isSure(best)) {
      const palms = await detectPalms(this.palmDetector, frame, around);
      for (const palm of palms.slice(0, 2)) best = better(best, await at(palm, 1));
    }
    return best && best.score >= MIN_SCORE ? best : null;
  }

  /** The best hand of a region and of those it leads to, among the admissible ones. */
  private async refine(
    frame: ImagePyramid,
    region: Region,
    refinements: number,
    isAdmissible: (hand: HandPose) => boolean,
  ): Promise<HandPose | null> {
    let best: HandPose | null = null;
    for (let i = 0; i <= refinements; i++) {
      const hand = await this.look(frame, region);
      if (isAdmissible(hand)) best = better(best, hand);
      if (hand.score >= SURE_SCORE) break;
      region = regionFromHand(hand.landmarks);
    }
    return best;
  }

  /** Where the hand of the frame before would be, had it moved as the wrist did. */
  private followedRegion(body: BodyPose, side: Side): Region | null {
    const previous = this.previous[side];
    if (!previous) return null;
    const region = regionFromHand(previous.hand.landmarks);
    const wrist = bodyPoint(body.landmarks, `${side}Wrist`);
    const center = {
      x: region.center.x + wrist.x - previous.wrist.x,
      y: region.center.y + wrist.y - previous.wrist.y,
    };
    return { ...region, center };
  }

  private async look(frame: ImagePyramid, region: Region): Promise<HandPose> {
    const pixels = sampleRegion(frame, region, RESOLUTION, [0, 1]);
    const image = float32(pixels, [1, 3, RESOLUTION, RESOLUTION]);
    const outputs = await this.landmarker.run({ image }, { transfer: "all" });
    const rows = outputs["landmarks"]!.data as Float32Array;
    const world = outputs["world"]!.data as Float32Array;
    return {
      landmarks: Array.from({ length: rows.length / 3 }, (_, i) => readLandmark(rows, world, i, region)),
      score: outputs["score"]!.data[0] as number,
      rightness: outputs["rightness"]!.data[0] as number,
      region,
    };
  }
}

function readLandmark(rows: Float32Array, world: Float32Array, index: number, region: Region): HandLandmark {
  return {
    ...fromRegion(region, rows[index * 3]! / RESOLUTION, rows[index * 3 + 1]! / RESOLUTION),
    z: (rows[index * 3 + 2]! / RESOLUTION) * region.size,
    world: unrotated(world, index, region.rotation),
  };
}

/** Whether the middle of the region is so far outside the picture that no part of the hand shows. */
function isOutside({ center, size }: Region, { image }: ImagePyramid): boolean {
  const margin = size / 5;
  return (
    center.x < -margin ||
    center.y < -margin ||
    center.x > image.width + margin ||
    center.y > image.height + margin
  );
}

const isSure = (hand: HandPose | null): boolean => hand !== null && hand.score >= SURE_SCORE;

const better = (a: HandPose | null, b: HandPose | null): HandPose | null =>
  a && (!b || a.score >= b.score) ? a : b;

/** Where both searches ended on one hand, the side that it looks like keeps it. */
function withoutSharedHand({ left, right }: HandsObservation): HandsObservation {
  if (!left || !right || !isSameHand(left, right)) return { left, right };
  return left.rightness + right.rightness > 1 ? { left: null, right } : { left, right: null };
}

/** Points closer than this share of the region on average are those of one hand. */
const SAME_HAND = 0.1;

function isSameHand(a: HandPose, b: HandPose): boolean {
  const distances = a.landmarks.map((point, i) =>
    Math.hypot(point.x - b.landmarks[i]!.x, point.y - b.landmarks[i]!.y),
  );
  const average = distances.reduce((sum, distance) => sum + distance, 0) / distances.length;
  return average < SAME_HAND * Math.max(a.region.size, b.region.size);
}
