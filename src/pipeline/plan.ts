/**
 * Cuts a driving video into overlapping segments (method section 4). Even segments are generated on their own,
 * odd ones are interpolated between the end of the one before and the start of the one after:
 *
 *     base 0      |=====================|
 *     interpolated 1            |head======tail|
 *     base 2                             |=====================|
 */
import { UserError } from "../tensor/errors.ts";

/** anchor: the base segment whose background the other base segments share. */
export type SegmentKind = "anchor" | "base" | "interpolated";

/** Finished frames of another segment that an interpolated one keeps: its local frames `from` to `to - 1`. */
export interface KeptFrames {
  readonly segment: number;
  readonly from: number;
  readonly to: number;
}

export interface Segment {
  readonly index: number;
  readonly kind: SegmentKind;
  /** Time of its first frame, in frames of the driving video. */
  readonly start: number;
  /** The driving frame of each of its frames. Past the end of the video it plays backwards, then forwards again. */
  readonly frames: readonly number[];
  /** What its first frames are, on interpolated segments. */
  readonly head?: KeptFrames;
  /** What its last frames are, on interpolated segments; absent when the plan has no tail frames. */
  readonly tail?: KeptFrames;
}

export interface Plan {
  /** Length of the result: that of the driving video, unless an incomplete end is dropped. */
  readonly numFrames: number;
  /** Frames of each segment, 4k + 1. */
  readonly segmentFrames: number;
  /** Frames an interpolated segment shares with the one before it, 4a + 1: a + 1 latent frames. */
  readonly headFrames: number;
  /** Frames an interpolated segment shares with the one after it, 4b: b latent frames. */
  readonly tailFrames: number;
  readonly segments: readonly Segment[];
}

export interface PlanOptions {
  /** Frames per segment, 4k + 1. */
  readonly segmentFrames?: number;
  /** 4a + 1; default about a quarter of the segment. */
  readonly headFrames?: number;
  /** 4b; default about a quarter of the segment, which is none at all for segments of 5 frames. */
  readonly tailFrames?: number;
  /** Index of the anchor segment: even, since only base segments can be anchors. */
  readonly anchor?: number;
  /** What becomes of driving frames that do not fill the last segments: extended by reflection, or dropped. */
  readonly incompleteEnd?: "reflect" | "drop";
}

/**
 * Plans the segments of a driving video of `videoFrames` frames.
 * @throws UserError for an empty video or options that make no plan
 */
export function planSegments(videoFrames: number, options: PlanOptions = {}): Plan {
  const { segmentFrames = 81, anchor = 0, incompleteEnd = "reflect" } = options;
  const { headFrames, tailFrames } = overlaps(segmentFrames, options);
  if (!Number.isInteger(videoFrames) || videoFrames < 1) {
    throw new UserError(`the driving video has ${videoFrames} frames; expected at least 1`);
  }
  if (incompleteEnd === "drop" && videoFrames < segmentFrames) {
    throw new UserError(
      `the driving video has ${videoFrames} frames, fewer than one segment of ${segmentFrames}; ` +
        `nothing is left when its incomplete end is dropped`,
    );
  }

  if (videoFrames > segmentFrames && headFrames + tailFrames >= segmentFrames) {
    throw new UserError(
      `head and tail (${headFrames} + ${tailFrames} frames) leave nothing to interpolate in segments of ` +
        `${segmentFrames} frames; expected longer segments or shorter overlaps`,
    );
  }

  // Each further base segment, with the interpolated one before it, adds this many frames.
  const pairFrames = 2 * segmentFrames - headFrames - tailFrames;
  const pairs = Math.max(0, (videoFrames - segmentFrames) / pairFrames);
  const numSegments = 2 * (incompleteEnd === "reflect" ? Math.ceil(pairs) : Math.floor(pairs)) + 1;
  if (!Number.isInteger(anchor) || anchor < 0 || anchor >= numSegments || anchor % 2 !== 0) {
    throw new UserError(
      `segment ${anchor} cannot be the anchor; expected an even number from 0 to ${numSegments - 1}`,
    );
  }

  const segments = Array.from({ length: numSegments }, (_, index): Segment => {
    const start =
      index * segmentFrames - Math.ceil(index / 2) * headFrames - Math.floor(index / 2) * tailFrames;
    const frames = Array.from({ length: segmentFrames }, (__, i) => reflect(start + i, videoFrames));
    if (index % 2 === 0) return { index, kind: index === anchor ? "anchor" : "base", start, frames };
    const head = { segment: index - 1, from: segmentFrames - headFrames, to: segmentFrames };
    const tail = { segment: index + 1, from: 0, to: tailFrames };
    return { index, kind: "interpolated", start, frames, head, ...(tailFrames > 0 && { tail }) };
  });
  const plannedFrames = segments.at(-1)!.start + segmentFrames;
  return { numFrames: Math.min(videoFrames, plannedFrames), segmentFrames, headFrames, tailFrames, segments };
}

/** The driving frame at time `t` of a video that is followed by its mirror image, over and over (period 2 L). */
function reflect(t: number, videoFrames: number): number {
  const phase = t % (2 * videoFrames);
  return phase < videoFrames ? phase : 2 * videoFrames - 1 - phase;
}

/** Head and tail: whole latent frames, a quarter of the segment each as near as that allows. */
function overlaps(segmentFrames: number, options: PlanOptions): { headFrames: number; tailFrames: number } {
  if (!Number.isInteger(segmentFrames) || segmentFrames < 1 || segmentFrames % 4 !== 1) {
    throw new UserError(
      `got a segment length of ${segmentFrames} frames; expected 4k + 1 (1, 5, 9, ... 81), as the VAE makes them`,
    );
  }
  const quarter = segmentFrames / 4;
  const { headFrames = 4 * Math.round((quarter - 1) / 4) + 1, tailFrames = 4 * Math.round(quarter / 4) } =
    options;
  if (!Number.isInteger(headFrames) || headFrames < 1 || headFrames % 4 !== 1) {
    throw new UserError(`got ${headFrames} head frames; expected 4a + 1 (1, 5, 9, ...): whole latent frames`);
  }
  if (!Number.isInteger(tailFrames) || tailFrames < 0 || tailFrames % 4 !== 0) {
    throw new UserError(`got ${tailFrames} tail frames; expected 4b (0, 4, 8, ...): whole latent frames`);
  }
  return { headFrames, tailFrames };
}
