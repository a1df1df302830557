import { type WanDiTShape } from "./build.ts";
import { type WanDiTConfig } from "./config.ts";

/** Tokens of one sample in self-attention. */
export interface TokenCounts {
  readonly video: number;
  readonly ref: number;
}

export function countTokens(
  { patchSize: [t, p, q] }: WanDiTConfig,
  { latentFrames, latentHeight, latentWidth }: WanDiTShape,
): TokenCounts {
  const perFrame = (latentHeight / p) * (latentWidth / q);
  return { video: (latentFrames / t) * perFrame, ref: perFrame };
}

/**
 * Bytes of the keys and values that an anchor leaves for its base segments, for one step and one pass of guidance.
 * @param numBlocks blocks that share
 * @param backgroundShare share of the video tokens that are background, 0-1; 1 where nothing is left out
 * @param bytesPerElement 4 in float32
 */
export function sharedKeyBytes(
  config: WanDiTConfig,
  shape: WanDiTShape,
  numBlocks: number,
  backgroundShare: number,
  bytesPerElement: number,
): number {
  const { video, ref } = countTokens(config, shape);
  return 2 * numBlocks * (video * backgroundShare + ref) * config.dim * bytesPerElement;
}
