import { readAhead } from "../media/read-ahead.ts";
import { type Clothes, clothesOf } from "./clothes.ts";
import { CutFinder } from "./cuts.ts";
import { type Eyes, type Place, type SeenBody, seePeople, torsoOf } from "./eyes.ts";
import type { Size } from "./keypoints.ts";
import type { SourceFrame } from "./analyze-video.ts";
import { ImagePyramid } from "./region.ts";

/** Somebody, at one moment. */
export interface Sighting extends Place {
  /** Index of the frame and its time. */
  readonly frame: number;
  readonly timeS: number;
  /** Around the trunk, the head and what is seen of the legs. */
  readonly box: Box;
  readonly clothes: Clothes;
}

export interface Box {
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
}

/** What a first, quick look at all of a video finds. */
export interface Survey {
  readonly numFrames: number;
  /** Frames per second, on average. */
  readonly fps: number;
  readonly size: Size;
  /** Frames that begin a new shot, rising, without the first. */
  readonly cuts: readonly number[];
  /** The frames that were searched, rising, and everybody in each. */
  readonly samples: readonly { readonly frame: number; readonly people: readonly Sighting[] }[];
}

/** Time from one searched frame to the next. */
export const SURVEY_INTERVAL_S = 0.2;

/** Time from one search for people of any size to the next: between them, nobody but those who were seen is missed. */
const THOROUGH_INTERVAL_S = 1;

/** Longer side of the pictures that a survey is made from, at most: its networks see no more. */
export const SURVEYED_LONGEST = 640;

/** Frames that are compared with those before them while one is searched. */
const COMPARED_AHEAD = 3;

/**
 * Looks through a video for people and cuts. Every frame is compared with the one before; people are searched five
 * times a second, and after what may be a cut; once a second, and where fewer are seen than before, also those who are
 * too small to be found at once. A minute of video takes some hundred kilobytes of memory.
 * @param onFrame called after each frame
 */
export async function surveyFrames(
  frames: AsyncIterable<SourceFrame> | Iterable<SourceFrame>,
  eyes: Eyes,
  { signal, onFrame }: { readonly signal?: AbortSignal; readonly onFrame?: (numFrames: number) => void } = {},
): Promise<Survey> {
  const cutFinder = new CutFinder();
  const samples: Survey["samples"][number][] = [];
  let numFrames = 0;
  let size: Size = { width: 0, height: 0 };
  let [nextS, nextThoroughS] = [-Infinity, -Infinity];
  let numSeen = 0;
  let [firstS, lastS] = [0, 0];
  for await (const compared of readAhead(compare(frames, cutFinder), COMPARED_AHEAD)) {
    signal?.throwIfAborted();
    const { timeS, mayBeCut } = compared;
    if (numFrames === 0) {
      size = compared.size;
      firstS = timeS;
    }
    if (mayBeCut || timeS >= nextS) {
      const isThorough = mayBeCut || timeS >= nextThoroughS;
      const people = await seePeople(eyes, compared.pyramid, isThorough ? Infinity : Math.max(1, numSeen));
      const frame = numFrames;
      samples.push({ frame, people: people.map((body) => sightingOf(body, compared, frame)) });
      numSeen = people.length;
      nextS = timeS + SURVEY_INTERVAL_S - TIME_TOLERANCE_S;
      if (isThorough) nextThoroughS = timeS + THOROUGH_INTERVAL_S - TIME_TOLERANCE_S;
    }
    numFrames++;
    lastS = timeS;
    onFrame?.(numFrames);
  }
  const fps = lastS > firstS ? (numFrames - 1) / (lastS - firstS) : 1;
  return { numFrames, fps, size, cuts: cutFinder.cuts(), samples };
}

const TIME_TOLERANCE_S = 0.001;

/** A frame after its comparison with the one before. */
interface ComparedFrame {
  readonly pyramid: ImagePyramid;
  /** In whose pixels sightings are told. */
  readonly size: Size;
  readonly timeS: number;
  readonly mayBeCut: boolean;
}

async function* compare(
  frames: AsyncIterable<SourceFrame> | Iterable<SourceFrame>,
  cutFinder: CutFinder,
): AsyncGenerator<ComparedFrame, void, undefined> {
  for await (const { image, size = { width: image.width, height: image.height }, timeS } of frames) {
    const pyramid = new ImagePyramid(image);
    yield { pyramid, size, timeS, mayBeCut: cutFinder.add(pyramid) };
  }
}

/** Points below this visibility do not widen a box. */
const VISIBLE = 0.5;

function sightingOf(
  { pose, place }: SeenBody,
  { pyramid, size, timeS }: ComparedFrame,
  frame: number,
): Sighting {
  const points = [...torsoOf(pose), ...pose.landmarks.filter(({ visibility }) => visibility >= VISIBLE)];
  const scale = Math.max(size.width, size.height) / Math.max(pyramid.image.width, pyramid.image.height);
  return {
    frame,
    timeS,
    center: { x: scale * place.center.x, y: scale * place.center.y },
    size: scale * place.size,
    box: {
      left: scale * Math.min(...points.map(({ x }) => x)),
      top: scale * Math.min(...points.map(({ y }) => y)),
      right: scale * Math.max(...points.map(({ x }) => x)),
      bottom: scale * Math.max(...points.map(({ y }) => y)),
    },
    clothes: clothesOf(pose, pyramid),
  };
}
