import { type Umt5Config } from "./config.ts";

/**
 * Bucket of a relative position (key minus query). The first half of the buckets is for keys up to the query, the
 * second half for keys after it. In each half, small distances have a bucket of their own, larger ones share
 * logarithmically wider ones, and all from `maxDistance` on share the last.
 */
export function relativePositionBucket(
  relativePosition: number,
  { numBuckets, maxDistance }: Pick<Umt5Config, "numBuckets" | "maxDistance">,
): number {
  const half = numBuckets / 2;
  const numExact = half / 2;
  const offset = relativePosition > 0 ? half : 0;
  const distance = Math.abs(relativePosition);
  if (distance < numExact) return offset + distance;
  // Single precision at every step, as in the published code: bucket borders fall on exact powers.
  const f32 = Math.fround;
  const share = f32(f32(Math.log(f32(distance / numExact))) / f32(Math.log(maxDistance / numExact)));
  const wide = Math.trunc(f32(share * f32(half - numExact)));
  return offset + Math.min(numExact + wide, half - 1);
}

/** Buckets of all pairs of L positions, [L (query), L (key)]. */
export function relativePositionBuckets(length: number, config: Umt5Config): number[] {
  const buckets = new Map<number, number>();
  for (let r = 1 - length; r < length; r++) buckets.set(r, relativePositionBucket(r, config));
  return Array.from({ length: length * length }, (_, i) => {
    const query = Math.floor(i / length);
    return buckets.get((i % length) - query)!;
  });
}
