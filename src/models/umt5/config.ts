import { UserError } from "../../tensor/errors.ts";

/** Architecture of a UMT5 text encoder. */
export interface Umt5Config {
  readonly vocabSize: number;
  /** Width of a token. */
  readonly dim: number;
  /** Width of queries, keys and values, all heads together. */
  readonly attentionDim: number;
  readonly numHeads: number;
  readonly ffnDim: number;
  readonly numLayers: number;
  /** Relative positions that a block tells apart, half of them for keys after the query. */
  readonly numBuckets: number;
  /** Distances from here on share the last bucket. */
  readonly maxDistance: number;
  readonly eps: number;
}

const UMT5 = { numBuckets: 32, maxDistance: 128, eps: 1e-6 };

/** Named architectures: `tiny` for tests, `mini` for the embedded model, `xxl` as published. */
export const UMT5_PRESETS = {
  tiny: { ...UMT5, vocabSize: 1152, dim: 16, attentionDim: 16, numHeads: 2, ffnDim: 32, numLayers: 2 },
  mini: { ...UMT5, vocabSize: 1152, dim: 64, attentionDim: 64, numHeads: 4, ffnDim: 128, numLayers: 2 },
  xxl: {
    ...UMT5,
    vocabSize: 256384,
    dim: 4096,
    attentionDim: 4096,
    numHeads: 64,
    ffnDim: 10240,
    numLayers: 24,
  },
} as const satisfies Record<string, Umt5Config>;

/**
 * Checks that the sizes of an architecture fit together.
 * @throws UserError naming the first value that does not
 */
export function checkUmt5Config({ attentionDim, numHeads, numBuckets, maxDistance }: Umt5Config): void {
  if (attentionDim % numHeads !== 0) {
    throw new UserError(`attentionDim ${attentionDim} over ${numHeads} heads is not a whole number`);
  }
  if (numBuckets % 4 !== 0) throw new UserError(`numBuckets is ${numBuckets}; it must be a multiple of 4`);
  if (maxDistance <= numBuckets / 4) {
    throw new UserError(
      `maxDistance is ${maxDistance}; it must exceed a quarter of numBuckets (${numBuckets})`,
    );
  }
}
