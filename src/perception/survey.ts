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

/** Frames that are compared with those before them while one is searched. */
const COMPARED_AHEAD = 3;

/**
 * Looks through a video for people and cuts. Every frame is compared with the one before; people are searched five
 * times a second, and after what may be a cut. A minute of video takes some hundred kilobytes of memory.
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
  let nextS = -Infinity;
  let [firstS, lastS] = [0, 0];
  for await (const { pyramid, timeS, mayBeCut } of readAhead(compare(frames, cutFinder), COMPARED_AHEAD)) {
    signal?.throwIfAborted();
    if (numFrames === 0) {
      size = { width: pyramid.image.width, height: pyramid.image.height };
      firstS = timeS;
    }
    if (mayBeCut || timeS >= nextS) {
      const frame = numFrames;
      const people = await seePeople(eyes, pyramid);
      samples.push({ frame, people: people.map((body) => sightingOf(body, pyramid, frame, timeS)) });
      nextS = timeS + SURVEY_INTERVAL_S - TIME_TOLERANCE_S;
    }
    numFrames++;
    lastS = timeS;
    onFrame?.(numFrames);
  }
  const fps = lastS > firstS ? (numFrames - 1) / (lastS - firstS) : 1;
  return { numFrames, fps, size, cuts: cutFinder.cuts(), samples };
}

const TIME_TOLERANCE_S = 0.001;

async function* compare(frames: AsyncIterable<SourceFrame> | Iterable<SourceFrame>, cutFinder: CutFinder) {
  for await (const { image, timeS } of frames) {
    const pyramid = new ImagePyramid(image);
    yield { pyramid, timeS, mayBeCut: cutFinder.add(pyramid) };
  }
}

/** Points below this visibility do not widen a box. */
const VISIBLE = 0.5;

function sightingOf({ pose, place }: SeenBody, frame: ImagePyramid, index: number, timeS: number): Sighting {
  const points = [...torsoOf(pose), ...pose.landmarks.filter(({ visibility }) => visibility >= VISIBLE)];
  return {
    frame: index,
    timeS,
    center: place.center,
    size: place.size,
    box: {
      left: Math.min(...points.map(({ x }) => x)),
      top: Math.min(...points.map(({ y }) => y)),
      right: Math.max(...points.map(({ x }) => x)),
      bottom: Math.max(...points.map(({ y }) => y)),
    },
    clothes: clothesOf(pose, frame),
  };
}
