import { Lane } from "../runtime/lane.ts";
import { Session } from "../runtime/session.ts";
import { float32 } from "../tensor/tensor.ts";
import { BODY_LANDMARKS, type BodyLandmark, unrotated } from "./body-landmarks.ts";
import { sigmoid } from "./detections.ts";
import { bodyRegion, detectPeople } from "./person-detector.ts";
import type { PersonMask } from "./person-mask.ts";
import { type ImagePyramid, type Region, fromRegion, sampleRegion } from "./region.ts";
import { loadConvertedModel } from "./tflite/model-cache.ts";

/** One person's body in one frame. */
export interface BodyPose {
  /** In the order of `BODY_LANDMARKS`. */
  readonly landmarks: readonly BodyLandmark[];
  /** Confidence that the region shows a person, 0..1. */
  readonly score: number;
  readonly region: Region;
  /** Null unless the tracker was loaded with `mask`. */
  readonly mask: PersonMask | null;
}

export interface PoseObservation {
  /** The followed person: the largest of those found when the search began. */
  readonly body: BodyPose | null;
  /** People in the picture when it was last searched. */
  readonly numPeople: number;
}

export interface PoseTrackerOptions {
  /** Networks from fast to accurate; `heavy` by default. */
  readonly quality?: "lite" | "full" | "heavy";
  /** Also gives the person's mask, for about a quarter more time. */
  readonly mask?: boolean;
  readonly cacheFolder?: string;
}

const RESOLUTION = 256;
const MIN_SCORE = 0.5;
/** Largest people that are tried before a frame counts as empty. */
const MAX_CANDIDATES = 3;
/** Frames between searches for other people while one is followed. */
const SEARCH_INTERVAL = 10;

/**
 * Follows one person through the frames of a video: a search finds the largest person; from then on the region comes
 * from the pose of the frame before, until the person is lost and searched again. Frames must be given in order;
 * the same frames give the same poses.
 */
export class PoseTracker {
  private region: Region | null = null;
  private numPeople = 0;
  private framesSinceSearch = 0;

  private constructor(
    private readonly lane: Lane,
    private readonly detector: Session,
    private readonly landmarker: Session,
  ) {}

  /** Converts the networks at first use (seconds); both run in one thread of their own. */
  static async load(options: PoseTrackerOptions = {}): Promise<PoseTracker> {
    const { quality = "heavy", mask = false, cacheFolder } = options;
    const detectorModel = await loadConvertedModel("pose-detector", cacheFolder);
    const landmarkModel = await loadConvertedModel(
      mask ? `pose-${quality}-mask` : `pose-${quality}`,
      cacheFolder,
    );
    const lane = new Lane();
    const detector = await Session.create(detectorModel, { lane, name: "person detector" });
    const landmarker = await Session.create(landmarkModel, { lane, name: "pose network" });
    return new PoseTracker(lane, detector, landmarker);
  }

  /** The pose in the next frame. */
  async next(frame: ImagePyramid): Promise<PoseObservation> {
    const body = (await this.follow(frame)) ?? (await this.search(frame));
    this.region = body ? body.nextRegion : null;
    return { body: body?.pose ?? null, numPeople: body ? Math.max(this.numPeople, 1) : 0 };
  }

  /** Forgets the person, for a frame that does not follow the last one. */
  reset(): void {
    this.region = null;
    this.numPeople = 0;
  }

  async release(): Promise<void> {
    await this.lane.close();
  }

  private async follow(frame: ImagePyramid): Promise<TrackedPose | null> {
    if (!this.region) return null;
    const tracked = await this.look(frame, this.region);
    this.framesSinceSearch++;
    if (tracked && this.framesSinceSearch >= SEARCH_INTERVAL) await this.count(frame);
    return tracked;
  }

  private async count(frame: ImagePyramid): Promise<void> {
    this.numPeople = (await detectPeople(this.detector, frame)).length;
    this.framesSinceSearch = 0;
  }

  private async search(frame: ImagePyramid): Promise<TrackedPose | null> {
    const people = await detectPeople(this.detector, frame);
    this.numPeople = people.length;
    this.framesSinceSearch = 0;
    for (const { region } of people.slice(0, MAX_CANDIDATES)) {
      const found = await this.look(frame, region);
      if (found) return found;
    }
    return null;
  }

  private async look(frame: ImagePyramid, region: Region): Promise<TrackedPose | null> {
    const pixels = sampleRegion(frame, region, RESOLUTION, [0, 1]);
    const image = float32(pixels, [1, 3, RESOLUTION, RESOLUTION]);
    const outputs = await this.landmarker.run({ image }, { transfer: "all" });
    const score = outputs["score"]!.data[0] as number;
    if (score < MIN_SCORE) return null;
    const rows = outputs["landmarks"]!.data as Float32Array;
    const world = outputs["world"]!.data as Float32Array;
    const mask = outputs["mask"]?.data as Float32Array | undefined;
    const pose = {
      landmarks: BODY_LANDMARKS.map((_, i) => readLandmark(rows, world, i, region)),
      score,
      region,
      mask: mask ? { region, resolution: RESOLUTION, values: mask.map(sigmoid) } : null,
    };
    // Two more rows serve tracking: the middle of the hips and a point on the circle around the body.
    const [hips, rim] = [
      readPoint(rows, BODY_LANDMARKS.length, region),
      readPoint(rows, BODY_LANDMARKS.length + 1, region),
    ];
    return { pose, nextRegion: bodyRegion(hips, rim) };
  }
}

interface TrackedPose {
  readonly pose: BodyPose;
  /** Where to look in the next frame. */
  readonly nextRegion: Region;
}

/** Values per row of the network's output: x, y, z in input pixels, visibility and presence as logits. */
const ROW = 5;

function readPoint(rows: Float32Array, index: number, region: Region) {
  return fromRegion(region, rows[index * ROW]! / RESOLUTION, rows[index * ROW + 1]! / RESOLUTION);
}

function readLandmark(rows: Float32Array, world: Float32Array, index: number, region: Region): BodyLandmark {
  return {
    ...readPoint(rows, index, region),
    z: (rows[index * ROW + 2]! / RESOLUTION) * region.size,
    visibility: sigmoid(rows[index * ROW + 3]!),
    presence: sigmoid(rows[index * ROW + 4]!),
    world: unrotated(world, index, region.rotation),
  };
}
