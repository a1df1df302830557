/** How much a video stays the same from frame to frame. */
import type { Image } from "../media/pixels.ts";
import { UserError, invariant } from "../tensor/errors.ts";
import { ssim } from "./ssim.ts";

/** The frame that each frame but the first is compared with. Drift over a long video shows against the first. */
export type ConsistencyBaseline = "previous" | "first";

/**
 * Mean cosine similarity (-1..1) of the frames' feature vectors, as in the paper's temporal consistency
 * (Tab. 2, 4 and 5, there with DINO features).
 * @throws UserError for fewer than two frames
 */
export function featureConsistency(
  features: readonly Float32Array[],
  baseline: ConsistencyBaseline = "previous",
): number {
  return meanSimilarity(features, baseline, cosineSimilarity);
}

/**
 * Mean SSIM of neighbouring frames: needs no feature network, but a still picture scores highest.
 * @throws UserError for fewer than two frames
 */
export function ssimConsistency(frames: readonly Image[]): number {
  return meanSimilarity(frames, "previous", (a, b) => ssim(a, b));
}

function meanSimilarity<T>(
  items: readonly T[],
  baseline: ConsistencyBaseline,
  similarity: (a: T, b: T) => number,
): number {
  if (items.length < 2) throw new UserError(`consistency needs at least 2 frames, got ${items.length}`);
  let sum = 0;
  for (let i = 1; i < items.length; i++)
    sum += similarity(items[baseline === "first" ? 0 : i - 1]!, items[i]!);
  return sum / (items.length - 1);
}

/** Cosine (-1..1) of the angle between two feature vectors of the same length. */
export function cosineSimilarity(a: Float32Array, b: Float32Array): number {
  invariant(a.length === b.length, `features of ${a.length} and ${b.length} dimensions cannot be compared`);
  let [product, squareA, squareB] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    product += a[i]! * b[i]!;
    squareA += a[i]! ** 2;
    squareB += b[i]! ** 2;
  }
  return product / Math.sqrt(squareA * squareB);
}
