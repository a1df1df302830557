import { invariant } from "../tensor/errors.ts";

/** Mean absolute difference of two pictures' bytes, over all pixels and channels, as a share of 255 (0..1). */
export function l1(a: Uint8Array, b: Uint8Array): number {
  invariant(a.length === b.length, `pictures of ${a.length} and ${b.length} bytes cannot be compared`);
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += Math.abs(a[i]! - b[i]!);
  return sum / a.length / 255;
}
