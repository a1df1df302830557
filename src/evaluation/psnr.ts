import { invariant } from "../tensor/errors.ts";

/** Mean of the squared differences of two pictures' bytes (0..255), over all pixels and channels. */
export function meanSquaredError(a: Uint8Array, b: Uint8Array): number {
  invariant(a.length === b.length, `pictures of ${a.length} and ${b.length} bytes cannot be compared`);
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i]! - b[i]!) ** 2;
  return sum / a.length;
}

/**
 * Peak signal-to-noise ratio of two pictures in dB: 10 log10(255^2 / MSE), higher is nearer; infinite when they
 * are equal. Of a video: the mean over its frames.
 */
export function psnr(a: Uint8Array, b: Uint8Array): number {
  return 10 * Math.log10(255 ** 2 / meanSquaredError(a, b));
}
