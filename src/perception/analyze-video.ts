import type { Image } from "../media/pixels.ts";
import type { Keypoint } from "../media/pose-keypoints.ts";
import { readAhead } from "../media/read-ahead.ts";
import { type DecodeOptions, decodeVideo } from "../media/video.ts";
import { Lane } from "../runtime/lane.ts";
import { UserError } from "../tensor/errors.ts";
import {
  type PersonChoice,
  type PersonSummary,
  choosePerson,
  rankPeople,
  summarizePerson,
  tracksToFollow,
} from "./choose-person.ts";
import { EmbeddedEyes } from "./embedded-eyes.ts";
import type { Eyes } from "./eyes.ts";
import { fillGaps } from "./fill-gaps.ts";
import { Guide } from "./guide.ts";
import { HandTracker } from "./hands.ts";
import { holdPose } from "./hold-pose.ts";
import { type Size, handDepths, poseFromBody } from "./keypoints.ts";
import { handSurfaceReader } from "./onnx/hand-surfaces.ts";
import { OnnxEyes } from "./onnx/onnx-eyes.ts";
import { type EyeModels, OnnxModels } from "./onnx/open-models.ts";
import type { PersonFrame } from "./person-frame.ts";
import type { PersonMask } from "./person-mask.ts";
import { type PoseObservation, PoseTracker, type PoseTrackerOptions } from "./pose.ts";
import { ImagePyramid } from "./region.ts";
import { smoothPoses } from "./smooth.ts";
import { SURVEYED_LONGEST, surveyFrames } from "./survey.ts";
import { trackPeople } from "./tracks.ts";

export interface AnalysisOptions {
  /** Body networks from fast to accurate; `heavy` by default. */
  readonly quality?: NonNullable<PoseTrackerOptions["quality"]>;
  /** ONNX models in the place of the networks of the package, as far as they go. */
  readonly eyes?: EyeModels;
  /** Whom to follow; the most prominent person by default. */
  readonly person?: PersonChoice;
  /** Where converted networks are kept; the user's cache folder by default. */
  readonly cacheFolder?: string;
  readonly signal?: AbortSignal;
  /** Called after each frame of the first, quick look at all of the video. */
  readonly onSurveyed?: (numFrames: number) => void;
  /** Told who is in the video, before the first frame is given. */
  readonly onPeople?: (cast: Cast) => void;
}

/** Who is in a video, and who of them is followed. */
export interface Cast {
  /** The most prominent first. */
  readonly people: readonly PersonSummary[];
  /** Number of the followed person; 0 when nobody was found. */
  readonly followed: number;
}

/** A frame to analyse. */
export interface SourceFrame {
  readonly image: Image;
  /** Of the frame in whose pixels people are told of; that of `image` by default. */
  readonly size?: Size;
  readonly timeS: number;
}

/** Least score with which a hand counts as found: that of drawn hands. */
const HAND_FOUND = 0.7;

/**
 * Finds one person in every frame of a video, in order and one by one: memory hardly grows with its length. The video
 * is read twice: a quick look finds everybody in it (`surveyFrames`, `trackPeople`), then one of them is followed.
 * Short gaps are interpolated (`fillGaps`), the poses smoothed (`smoothPoses`), and where the person is not seen for
 * long, the last pose is held (`holdPose`). The same video gives the same frames.
 * @throws UserError when the file is no video, when `person` is not in it, and after its last frame when no frame shows
 *   a person
 */
export async function* analyzeVideo(
  path: string,
  options: AnalysisOptions & Omit<DecodeOptions, "signal"> = {},
): AsyncGenerator<PersonFrame, void, undefined> {
  const open = (longest = Infinity) => decodeVideo(path, { ...options, longest });
  yield* analyzeFrames(open, options, path);
}

/**
 * `analyzeVideo` of frames from anywhere.
 * @param open begins the same frames anew each time; where it is given a longest side, smaller pictures of them will do
 * @param name stands for them in messages
 */
export async function* analyzeFrames(
  open: (longest?: number) => AsyncIterable<SourceFrame> | Iterable<SourceFrame>,
  options: AnalysisOptions = {},
  name = "the driving video",
): AsyncGenerator<PersonFrame, void, undefined> {
  const finder = await PersonFinder.load(options);
  let numWithBody = 0;
  try {
    const quickEyes = await finder.quickEyes();
    const guide = await guideThrough(open(SURVEYED_LONGEST), quickEyes, options, name);
    await quickEyes.release();
    const found = fillGaps(finder.find(open(), { ...options, guide }));
    for await (const frame of holdPose(smoothPoses(found))) {
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

async function guideThrough(
  frames: AsyncIterable<SourceFrame> | Iterable<SourceFrame>,
  eyes: Eyes,
  { person, signal, onSurveyed, onPeople }: AnalysisOptions,
  name: string,
): Promise<Guide> {
  const observers = { ...(signal && { signal }), ...(onSurveyed && { onFrame: onSurveyed }) };
  const survey = await surveyFrames(frames, eyes, observers);
  const people = rankPeople(trackPeople(survey));
  const nobody = people.length === 0 && person === undefined;
  const chosen = nobody ? { tracks: [] } : choosePerson(people, person, name);
  onPeople?.({
    people: people.map((each, i) => summarizePerson(each, i + 1, survey.samples.length)),
    followed: people.indexOf(chosen) + 1,
  });
  return new Guide(tracksToFollow(chosen, people, survey), people, survey);
}

/** Where the person's mask goes. */
export type MaskListener = (mask: PersonMask | null, index: number) => void;

export interface FindOptions {
  readonly signal?: AbortSignal;
  /** Told each frame's mask, in order; null where there is none, as without the option `mask` of `load`. */
  readonly onMask?: MaskListener;
  /** Knows whom to follow; without it that is the largest person when the search begins. */
  readonly guide?: Guide;
}

export type FinderOptions = PoseTrackerOptions & Pick<AnalysisOptions, "eyes">;

/** The networks that find a person, loaded once for any number of videos, which are looked at one after another. */
export class PersonFinder {
  private constructor(
    private readonly embedded: EmbeddedEyes,
    private readonly poses: PoseTracker,
    private readonly hands: HandTracker,
    private readonly readSurfaces: ReturnType<typeof handSurfaceReader>,
  ) {}

  /**
   * Converts the networks at first use.
   * @throws UserError for a model of `eyes` that cannot be used
   */
  static async load(options: FinderOptions = {}): Promise<PersonFinder> {
    const models = options.eyes?.paths.length ? await OnnxModels.open(options.eyes) : null;
    // Either thread has less to do at times: that of bodies then helps with hands.
    const lane = new Lane();
    const [embedded, hands] = await Promise.all([
      EmbeddedEyes.load({ ...options, lane }),
      HandTracker.load({ ...options, helper: lane }),
    ]);
    const poses = new PoseTracker(models ? new OnnxEyes(models, embedded, options) : embedded);
    return new PersonFinder(embedded, poses, hands, models && handSurfaceReader(models));
  }

  /** The quickest networks of the package, for a first look, in the thread of those that find bodies. */
  async quickEyes(): Promise<EmbeddedEyes> {
    return this.embedded.lighter();
  }

  /**
   * The person in each frame of a video, gaps left open. Nothing is taken over from an earlier video.
   */
  async *find(
    frames: AsyncIterable<SourceFrame> | Iterable<SourceFrame>,
    { signal, onMask, guide }: FindOptions = {},
  ): AsyncGenerator<PersonFrame, void, undefined> {
    this.poses.reset();
    this.hands.reset();
    // Bodies and hands are found in threads of their own. A body follows from that of the frame before, whatever the
    // hands: bodies go ahead, so that neither thread waits where the other takes longer.
    for await (const seen of readAhead(this.followBody(frames, guide), BODIES_AHEAD)) {
      signal?.throwIfAborted();
      onMask?.(seen.body?.mask ?? null, seen.place.index);
      yield await this.complete(seen);
    }
  }

  async release(): Promise<void> {
    await Promise.all([this.poses.release(), this.hands.release()]);
  }

  private async *followBody(
    frames: AsyncIterable<SourceFrame> | Iterable<SourceFrame>,
    guide: Guide | undefined,
  ): AsyncGenerator<SeenFrame, void, undefined> {
    let index = 0;
    for await (const { image, timeS } of frames) {
      const pyramid = new ImagePyramid(image);
      const about = guide?.at(index);
      const observation = await this.poses.next(pyramid, about);
      const place = {
        index,
        ...(about?.isCut && { cut: true as const }),
        ...(about?.others.length && { others: about.others }),
      };
      yield { ...observation, pyramid, timeS, place };
      index++;
    }
  }

  private async complete({ pyramid, timeS, body, numPeople, place }: SeenFrame): Promise<PersonFrame> {
    if (place.cut) this.hands.reset();
    const hands = await this.hands.next(pyramid, body);
    const surfaces = body && this.readSurfaces && (await this.readSurfaces(pyramid, body.region));
    const size = { width: pyramid.image.width, height: pyramid.image.height };
    const pose = poseFromBody(body, hands, size);
    const isFound = (hand: readonly Keypoint[]): boolean => hand.some(({ score }) => score >= HAND_FOUND);
    return {
      ...place,
      timeS,
      size,
      pose,
      depths: handDepths(body, hands),
      numPeople,
      ...(surfaces && { surfaces }),
      found: { body: body !== null, leftHand: isFound(pose.leftHand), rightHand: isFound(pose.rightHand) },
    };
  }
}

/** Frames whose body is found while the hands of one are. */
const BODIES_AHEAD = 8;

/** A frame whose body has been looked for. */
interface SeenFrame extends PoseObservation {
  readonly pyramid: ImagePyramid;
  readonly timeS: number;
  readonly place: Pick<PersonFrame, "index" | "cut" | "others">;
}
