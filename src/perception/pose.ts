import type { PoseKeypoints } from "../media/pose-keypoints.ts";
import type { BodyLandmark } from "./body-landmarks.ts";
import { EmbeddedEyes, type EmbeddedEyesOptions } from "./embedded-eyes.ts";
import { type Eyes, type SeenBody, isSameBody, seePeople } from "./eyes.ts";
import type { FrameGuide } from "./guide.ts";
import type { PersonMask } from "./person-mask.ts";
import type { ImagePyramid, Region } from "./region.ts";

/** One person's body in one frame. */
export interface BodyPose {
  /** In the order of `BODY_LANDMARKS`. */
  readonly landmarks: readonly BodyLandmark[];
  /** Confidence that the region shows a person, 0..1. */
  readonly score: number;
  readonly region: Region;
  /** Null unless the networks give one and were asked to. */
  readonly mask: PersonMask | null;
  /** The skeleton as the network itself gives it, hands included; null when it follows from the landmarks. */
  readonly keypoints: PoseKeypoints | null;
}

export interface PoseObservation {
  /** The followed person. */
  readonly body: BodyPose | null;
  /** People in the picture, or in the last one that was searched. */
  readonly numPeople: number;
}

export type PoseTrackerOptions = EmbeddedEyesOptions;

/** Frames between searches for other people while one is followed without a guide. */
const SEARCH_INTERVAL = 10;

/**
 * Follows one person through the frames of a video: a search finds them; from then on the region comes from the pose
 * of the frame before, until the person is lost and searched again. Which of several people it is, a guide says;
 * without one it is the largest when the search began. Frames must be given in order; the same frames give the same
 * poses.
 */
export class PoseTracker {
  private region: Region | null = null;
  private numPeople = 0;
  private framesSinceSearch = 0;

  constructor(private readonly eyes: Eyes) {}

  /** With the networks of the package; they are converted at first use (seconds). */
  static async load(options: PoseTrackerOptions = {}): Promise<PoseTracker> {
    return new PoseTracker(await EmbeddedEyes.load(options));
  }

  /**
   * The pose in the next frame.
   * @param guide knows where everybody is in this frame
   */
  async next(frame: ImagePyramid, guide?: FrameGuide): Promise<PoseObservation> {
    if (guide?.isCut) this.reset();
    const isRight = (body: SeenBody): boolean => !guide || guide.accepts(body, frame);
    const followed = this.region && (await this.eyes.look(frame, this.region));
    const body = followed && isRight(followed) ? followed : await this.search(frame, isRight, guide);
    this.region = body ? body.nextRegion : null;
    if (body && body === followed && !guide) await this.countNowAndThen(frame, body);
    const numPeople = guide?.numPeople ?? (body ? this.numPeople : 0);
    return { body: body?.pose ?? null, numPeople: Math.max(numPeople, body ? 1 : 0) };
  }

  /** Forgets the person, for a frame that does not follow the last one. */
  reset(): void {
    this.region = null;
    this.numPeople = 0;
  }

  async release(): Promise<void> {
    await this.eyes.release();
  }

  private async countNowAndThen(frame: ImagePyramid, followed: SeenBody): Promise<void> {
    this.framesSinceSearch++;
    if (this.framesSinceSearch < SEARCH_INTERVAL) return;
    const others = (await seePeople(this.eyes, frame)).filter((body) => !isSameBody(body, followed));
    this.numPeople = others.length + 1;
    this.framesSinceSearch = 0;
  }

  private async search(
    frame: ImagePyramid,
    isRight: (body: SeenBody) => boolean,
    guide: FrameGuide | undefined,
  ): Promise<SeenBody | null> {
    const people = await seePeople(this.eyes, frame);
    this.numPeople = people.length;
    this.framesSinceSearch = 0;
    const candidates = people.filter(isRight);
    return (guide ? guide.nearest(candidates) : candidates[0]) ?? null;
  }
}
