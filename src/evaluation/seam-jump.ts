import type { Image } from "../media/pixels.ts";
import { UserError } from "../tensor/errors.ts";
import { l1 } from "./l1.ts";

/** How much (L1) the picture changes into each frame but the first. */
export function frameChanges(frames: readonly Image[]): number[] {
  return frames.slice(1).map((frame, i) => l1(frames[i]!.data, frame.data));
}

/**
 * How much harder the picture jumps where segments meet than elsewhere: the mean change (L1) into the seam frames
 * over the median change into all other frames. 1 means that seams cannot be told from ordinary motion.
 * @param seams frames (at least 1) at which something new begins: the first and the first unblended frame of each
 * segment after the first
 * @returns at least 0; infinite or NaN when nothing moves between the seams
 */
export function seamJumpRatio(frames: readonly Image[], seams: ReadonlySet<number>): number {
  const changes = frameChanges(frames);
  const isSeam = (_: number, i: number): boolean => seams.has(i + 1);
  const atSeams = changes.filter(isSeam);
  const elsewhere = changes.filter((change, i) => !isSeam(change, i));
  if (atSeams.length === 0 || elsewhere.length === 0) {
    throw new UserError(
      `${frames.length} frames with ${atSeams.length} seams cannot be compared; expected a seam and frames between`,
    );
  }
  return jumpRatio(atSeams, elsewhere);
}

/** The mean of changes into seam frames over the median of the others; NaN when there are none of either. */
export function jumpRatio(atSeams: readonly number[], elsewhere: readonly number[]): number {
  const sorted = elsewhere.toSorted((a, b) => a - b);
  const middle = (sorted.length - 1) / 2;
  const median = (sorted[Math.floor(middle)]! + sorted[Math.ceil(middle)]!) / 2;
  return atSeams.reduce((sum, change) => sum + change, 0) / atSeams.length / median;
}
