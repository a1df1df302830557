import type { Image } from "../media/pixels.ts";
import { type DecodeOptions, decodeVideo } from "../media/video.ts";
import { UserError } from "../tensor/errors.ts";
import { fillGaps } from "./fill-gaps.ts";
import { HandTracker, type HandsObservation } from "./hands.ts";
import { handDepths, poseFromBody } from "./keypoints.ts";
import type { PersonFrame } from "./person-frame.ts";
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
  let numWithBody = 0;
  for await (const frame of fillGaps(findPerson(frames, options))) {
    if (frame.found.body) numWithBody++;
    yield frame;
  }
  if (numWithBody === 0) {
    throw new UserError(
      `no person was found in ${name}; expected one whose body, at least from the hips up, is clearly visible`,
    );
  }
}

async function* findPerson(
  frames: AsyncIterable<SourceFrame> | Iterable<SourceFrame>,
  { quality, cacheFolder, signal }: AnalysisOptions,
): AsyncGenerator<PersonFrame, void, undefined> {
  const cache = cacheFolder === undefined ? {} : { cacheFolder };
  const poses = await PoseTracker.load(quality === undefined ? cache : { ...cache, quality });
  const hands = await HandTracker.load(cache);
  try {
    // The hands of a frame are found while the body of the next one is: two threads, one network each at a time.
    let previous: Promise<PersonFrame> | null = null;
    let index = 0;
    for await (const frame of frames) {
      signal?.throwIfAborted();
      const pyramid = new ImagePyramid(frame.image);
      const [observation, finished] = await Promise.all([poses.next(pyramid), previous]);
      previous = completeFrame(hands, pyramid, frame, observation, index++);
      // It is awaited above or below; a failure while the next frame is decoded must wait until then.
      previous.catch(() => {});
      if (finished) yield finished;
    }
    if (previous) yield await previous;
  } finally {
    await Promise.all([poses.release(), hands.release()]);
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
