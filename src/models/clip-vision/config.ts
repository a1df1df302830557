import { UserError } from "../../tensor/errors.ts";

/** Architecture of a CLIP vision tower. */
export interface ClipVisionConfig {
  /** Height and width of the square input in pixels. */
  readonly imageSize: number;
  readonly patchSize: number;
  /** Width of a token. */
  readonly dim: number;
  readonly numHeads: number;
  /** Width of the feed-forward networks. */
  readonly ffnDim: number;
  /** Blocks of the tower. The features are the output of the last but one, so the last is never run. */
  readonly numLayers: number;
  readonly eps: number;
}

/**
 * Named architectures: `tiny` for tests, `mini` for the embedded model, `vitH` as published: the vision half of
 * open_clip's XLM-Roberta ViT-H/14.
 */
export const CLIP_VISION_PRESETS = {
  tiny: { imageSize: 16, patchSize: 8, dim: 20, numHeads: 2, ffnDim: 40, numLayers: 2, eps: 1e-5 },
  mini: { imageSize: 48, patchSize: 8, dim: 64, numHeads: 4, ffnDim: 256, numLayers: 3, eps: 1e-5 },
  vitH: { imageSize: 224, patchSize: 14, dim: 1280, numHeads: 16, ffnDim: 5120, numLayers: 32, eps: 1e-5 },
} as const satisfies Record<string, ClipVisionConfig>;

/** Tokens of an image: one per patch, and the class token before them. 257 for the published model. */
export function numImageTokens({ imageSize, patchSize }: ClipVisionConfig): number {
  return 1 + (imageSize / patchSize) ** 2;
}

/**
 * Checks that the sizes of an architecture fit together.
 * @throws UserError naming the first value that does not
 */
export function checkClipVisionConfig(config: ClipVisionConfig): void {
  const { imageSize, patchSize, dim, numHeads, numLayers } = config;
  if (imageSize % patchSize !== 0) {
    throw new UserError(`imageSize ${imageSize} is not a multiple of patchSize ${patchSize}`);
  }
  if (dim % numHeads !== 0) throw new UserError(`dim ${dim} over ${numHeads} heads is not a whole number`);
  if (numLayers < 2) throw new UserError(`numLayers is ${numLayers}; it must be at least 2`);
}
