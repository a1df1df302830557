import { invariant } from "../tensor/errors.ts";
import { l1 } from "./l1.ts";
import { psnr } from "./psnr.ts";

/**
 * Mean absolute difference of the chosen pixels of two pictures, as a share of 255: the background error with the
 * pixels that are background in both (see commonBackground), the subject error with those of the subject.
 * @param pixels one entry per pixel, non-zero where it counts
 * @returns 0..1; NaN when no pixel counts
 */
export function maskedL1(a: Uint8Array, b: Uint8Array, pixels: ArrayLike<number>): number {
  return l1(chosen(a, pixels), chosen(b, pixels));
}

/** Peak signal-to-noise ratio of the chosen pixels in dB; NaN when no pixel counts. See `maskedL1` and `psnr`. */
export function maskedPsnr(a: Uint8Array, b: Uint8Array, pixels: ArrayLike<number>): number {
  return psnr(chosen(a, pixels), chosen(b, pixels));
}

/** The bytes of the pixels that count, in order. */
function chosen(picture: Uint8Array, pixels: ArrayLike<number>): Uint8Array {
  const channels = picture.length / pixels.length;
  invariant(
    Number.isInteger(channels),
    `a mask of ${pixels.length} pixels does not fit ${picture.length} bytes`,
  );
  return picture.filter((_, i) => pixels[Math.floor(i / channels)] !== 0);
}

/** The pixels that are background in both of two pictures, from their subject masks (non-zero: subject). */
export function commonBackground(subjectA: ArrayLike<number>, subjectB: ArrayLike<number>): Uint8Array {
  return Uint8Array.from(subjectA, (value, pixel) => (value === 0 && subjectB[pixel] === 0 ? 1 : 0));
}
