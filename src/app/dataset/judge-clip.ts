/** Which clips of a video are worth training on (method: training clips). */
import { type BodyPoint, bodyIndex } from "../../media/pose-keypoints.ts";
import type { PersonFrame } from "../../perception/person-frame.ts";

export interface ClipFilters {
  /** Least box of the person as a share of the picture, mean over the frames. */
  readonly minPersonArea: number;
  /** Least confidence of the head's points, mean over the frames. */
  readonly minHeadConfidence: number;
}

/** What was seen in a clip. */
export interface ClipFigures {
  readonly personArea: number;
  readonly headConfidence: number;
}

const HEAD: readonly BodyPoint[] = ["nose", "leftEye", "rightEye", "leftEar", "rightEar"];

/** Mean confidence of the points of the head, 0..1. */
export function headConfidence({ pose }: PersonFrame): number {
  return mean(HEAD.map((name) => pose.body[bodyIndex(name)]!.score));
}

/**
 * The box around a person's mask as a share of the picture, 0..1.
 * @param mask [height, width], 0..255
 */
export function boxShare(mask: Uint8Array, width: number, height: number): number {
  let [left, right, top, bottom] = [width, -1, height, -1];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (mask[y * width + x]! < 128) continue;
      left = Math.min(left, x);
      right = Math.max(right, x);
      top = Math.min(top, y);
      bottom = y;
    }
  }
  return right < 0 ? 0 : ((right - left + 1) * (bottom - top + 1)) / (width * height);
}

/** Means over the frames in which the person was seen. */
export function clipFigures(frames: readonly PersonFrame[], boxShares: readonly number[]): ClipFigures {
  const seen = frames.filter(({ found }) => found.body);
  return {
    personArea: mean(seen.map(({ index }) => boxShares[index]!)),
    headConfidence: mean(seen.map(headConfidence)),
  };
}

/** Why a clip is not taken, in a few words; null when it is. */
export function reasonAgainst(
  frames: readonly PersonFrame[],
  { personArea, headConfidence: head }: ClipFigures,
  { minPersonArea, minHeadConfidence }: ClipFilters,
): string | null {
  // Short gaps have been filled: what is empty still is a longer one.
  const numEmpty = frames.filter(({ pose }) => pose.body.every(({ score }) => score === 0)).length;
  if (numEmpty > 0) return `no person in ${numEmpty} of ${frames.length} frames`;
  const numPeople = Math.max(...frames.map((frame) => frame.numPeople));
  if (numPeople > 1) return `${numPeople} people; expected one`;
  if (personArea < minPersonArea) {
    return `the person is too small: ${percent(personArea)} of the picture, expected ${percent(minPersonArea)}`;
  }
  if (head < minHeadConfidence) {
    return `the head is not clearly seen: confidence ${head.toFixed(2)}, expected ${minHeadConfidence}`;
  }
  return null;
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)}%`;
}

function mean(values: readonly number[]): number {
  return values.length === 0 ? 0 : values.reduce((sum, value) => sum + value, 0) / values.length;
}
