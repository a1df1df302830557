import type { Image } from "../media/pixels.ts";
import { type DecodeOptions, decodeVideo } from "../media/video.ts";
import { UserError } from "../tensor/errors.ts";
import { fillGaps } from "./fill-gaps.ts";
import { HandTracker, type HandsObservation } from "./hands.ts";
import { handDepths, poseFromBody } from "./keypoints.ts";
import type { PersonFrame } from "./person-frame.ts";
import type { PersonMask } from "./person-mask.ts";
import { type PoseObservation, PoseTracker, type PoseTrackerOptions } from "./pose.ts";
import { ImagePyramid } from "./region.ts";

export interface AnalysisOptions {
  /** Body networks from fast to accurate; `heavy` by default. */
  readonly quality?: NonNullable<PoseTrackerOptions["quality"]>;
  /** Where converted networks are kept; the user's cache folder by default. */
  readonly cacheFolder?: string;
  readonly signal?: AbortSignal;
}

/** A frame to analyse. */
export interface SourceFrame {
  readonly image: Image;
  readonly timeS: number;
}

/** Least score with which a hand counts as found: that of drawn hands. */
const HAND_FOUND = 0.7;

/**
 * Finds the person in every frame of a video, in order and one by one: memory does not grow with its length. Of several
 * people the largest is followed. Short gaps are interpolated. The same video gives the same frames.
 * @throws UserError when the file is no video, and after its last frame when no frame shows a person
 */
export async function* analyzeVideo(
  path: string,
  options: AnalysisOptions & Omit<DecodeOptions, "signal"> = {},
): AsyncGenerator<PersonFrame, void, undefined> {
  yield* analyzeFrames(decodeVideo(path, options), options, path);
}

/** `analyzeVideo` of frames from anywhere. `name` stands for them in messages. */
export async function* analyzeFrames(
  frames: AsyncIterable<SourceFrame> | Iterable<SourceFrame>,
  options: AnalysisOptions = {},
  name = "the driving video",
): AsyncGenerator<PersonFrame, void, undefined> {
  const finder = await PersonFinder.load(options);
  let numWithBody = 0;
  try {
    for await (const frame of fillGaps(finder.find(frames, options))) {
      if (frame.found.body) numWithBody++;
      yield frame;
    }
  } finally {
    await finder.release();
  }
  if (numWithBody === 0) {
    throw new UserError(
      `no person was found in ${name}; expected one whose body, at least from the hips up, is clearly visible`,
    );
  }
}

/** Where the person's mask goes. */
export type MaskListener = (mask: PersonMask | null, index: number) => void;

/** The networks that find a person, loaded once for any number of videos, which are looked at one after another. */
export class PersonFinder {
  private constructor(
    private readonly poses: PoseTracker,
    private readonly hands: HandTracker,
  ) {}

  /** Converts the networks at first use. */
  static async load(options: PoseTrackerOptions = {}): Promise<PersonFinder> {
    return new PersonFinder(await PoseTracker.load(options), await HandTracker.load(options));
  }

  /**
   * The person in each frame of a video, gaps left open. Nothing is taken over from an earlier video.
   * @param onMask told each frame's mask, in order; null where there is none, as without the option `mask` of `load`
   */
  async *find(
    frames: AsyncIterable<SourceFrame> | Iterable<SourceFrame>,
    { signal, onMask }: { readonly signal?: AbortSignal; readonly onMask?: MaskListener } = {},
  ): AsyncGenerator<PersonFrame, void, undefined> {
    this.poses.reset();
    this.hands.reset();
    // The hands of a frame are found while the body of the next one is: two threads, one network each at a time.
    let previous: Promise<PersonFrame> | null = null;
    let index = 0;
    try {
      for await (const frame of frames) {
        signal?.throwIfAborted();
        const pyramid = new ImagePyramid(frame.image);
        const [observation, finished] = await Promise.all([this.poses.next(pyramid), previous]);
        onMask?.(observation.body?.mask ?? null, index);
        previous = completeFrame(this.hands, pyramid, frame, observation, index++);
        // It is awaited above or below; a failure while the next frame is decoded must wait until then.
        previous.catch(() => {});
        if (finished) yield finished;
      }
      if (previous) yield await previous;
    } finally {
      await previous?.catch(() => {});
    }
  }

  async release(): Promise<void> {
    await Promise.all([this.poses.release(), this.hands.release()]);
  }
}

async function completeFrame(
  tracker: HandTracker,
  pyramid: ImagePyramid,
  { image, timeS }: SourceFrame,
  { body, numPeople }: PoseObservation,
  index: number,
): Promise<PersonFrame> {
  const hands = await tracker.next(pyramid, body);
  const size = { width: image.width, height: image.height };
  const isFound = (side: keyof HandsObservation): boolean => (hands[side]?.score ?? 0) >= HAND_FOUND;
  return {
    index,
    timeS,
    size,
    pose: poseFromBody(body, hands, size),
    depths: handDepths(body, hands),
    numPeople,
    found: { body: body !== null, leftHand: isFound("left"), rightHand: isFound("right") },
  };
}
