/** Joins the segments of a plan into one video (method section 4). */
import { type Image, imageFromBytes } from "../media/pixels.ts";
import { invariant } from "../tensor/errors.ts";
import type { Plan, Segment } from "./plan.ts";

/** The bytes of one frame, of whatever layout; all frames of a video have the same length. */
export type FrameBytes = Uint8Array;

export interface StitchOptions {
  /** How blended values become bytes: to the nearest, or cut off as the published pipeline does. */
  readonly rounding?: "nearest" | "truncate";
}

/**
 * Yields the finished frames of a plan in order, `plan.numFrames` of them. Where two segments overlap, the earlier
 * fades into the later. A frame is yielded as soon as no later segment can change it, so at most one overlap is held
 * in memory however long the video is.
 * @param framesOf gives the frames of a segment, in order; it is asked segment by segment, and not at all for
 * segments that lie wholly behind the end of the video
 */
export async function* stitch(
  plan: Plan,
  framesOf: (segment: Segment) => AsyncIterable<FrameBytes> | Iterable<FrameBytes>,
  options: StitchOptions = {},
): AsyncGenerator<FrameBytes> {
  /** The end of the segments so far, which the next one overlaps: frames from its start up to `end`. */
  let overlap: FrameBytes[] = [];
  let end = 0;
  for (const segment of plan.segments) {
    if (segment.start >= plan.numFrames) return;
    const overlapFrames = end - segment.start;
    const nextStart = plan.segments[segment.index + 1]?.start ?? plan.numFrames;
    const nextOverlap: FrameBytes[] = [];
    let t = segment.start;
    for await (const frame of framesOf(segment)) {
      const earlier = overlap[t - segment.start];
      const finished =
        earlier === undefined ? frame : crossFade(earlier, frame, t - segment.start, overlapFrames, options);
      if (t >= nextStart) nextOverlap.push(finished);
      else yield finished;
      if (++t === plan.numFrames) break;
    }
    end = segment.start + plan.segmentFrames;
    invariant(
      t === Math.min(end, plan.numFrames),
      `segment ${segment.index} has ${t - segment.start} of ${plan.segmentFrames} frames`,
    );
    overlap = nextOverlap;
  }
}

/** `stitch` of pictures of one size, to the nearest byte. */
export async function* stitchImages(
  plan: Plan,
  framesOf: (segment: Segment) => AsyncIterable<Image> | Iterable<Image>,
): AsyncGenerator<Image> {
  let size = { width: 0, height: 0 };
  async function* bytesOf(frames: AsyncIterable<Image> | Iterable<Image>): AsyncGenerator<FrameBytes> {
    for await (const { data, width, height } of frames) {
      size = { width, height };
      yield data;
    }
  }
  for await (const bytes of stitch(plan, (segment) => bytesOf(framesOf(segment)))) {
    yield imageFromBytes(size.width, size.height, bytes);
  }
}

/**
 * Frame `index` of an overlap of `numFrames`: w earlier + (1 - w) later. w falls linearly from 1 at the first frame
 * to 0 at the last; an overlap of a single frame shows the earlier segment alone.
 */
export function crossFade(
  earlier: FrameBytes,
  later: FrameBytes,
  index: number,
  numFrames: number,
  { rounding = "nearest" }: StitchOptions = {},
): FrameBytes {
  invariant(earlier.length === later.length, `frames of ${earlier.length} and ${later.length} bytes overlap`);
  const last = index === numFrames - 1;
  // The step comes first, as in the published float64 arithmetic: its rounding decides where truncation falls.
  const weight = index === 0 ? 1 : last ? 0 : 1 + index * (-1 / (numFrames - 1));
  const offset = rounding === "nearest" ? 0.5 : 0;
  return earlier.map((value, i) => Math.floor(weight * value + (1 - weight) * later[i]! + offset));
}
