import { invariant } from "../tensor/errors.ts";

/**
 * Mean absolute difference of the chosen pixels of two pictures, as a share of 255: the background error with the
 * pixels that are background in both (see commonBackground), the subject error with those of the subject.
 * @param pixels one entry per pixel, non-zero where it counts
 * @returns 0..1; NaN when no pixel counts
 */
export function maskedL1(a: Uint8Array, b: Uint8Array, pixels: ArrayLike<number>): number {
  invariant(a.length === b.length, `pictures of ${a.length} and ${b.length} bytes cannot be compared`);
  const channels = a.length / pixels.length;
  invariant(Number.isInteger(channels), `a mask of ${pixels.length} pixels does not fit ${a.length} bytes`);
  let sum = 0;
  let counted = 0;
  for (let pixel = 0; pixel < pixels.length; pixel++) {
    if (pixels[pixel] === 0) continue;
    counted += channels;
    for (let i = pixel * channels; i < (pixel + 1) * channels; i++) sum += Math.abs(a[i]! - b[i]!);
  }
  return sum / counted / 255;
}

/** The pixels that are background in both of two pictures, from their subject masks (non-zero: subject). */
export function commonBackground(subjectA: ArrayLike<number>, subjectB: ArrayLike<number>): Uint8Array {
  return Uint8Array.from(subjectA, (value, pixel) => (value === 0 && subjectB[pixel] === 0 ? 1 : 0));
}
