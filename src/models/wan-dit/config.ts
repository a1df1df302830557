import { UserError } from "../../tensor/errors.ts";
import { type PatchSize } from "../layers/patch.ts";

/** Architecture of a Wan2.1 image-to-video DiT with PoseGen's conditioning. */
export interface WanDiTConfig {
  /** Width of a token. */
  readonly dim: number;
  readonly numHeads: number;
  readonly ffnDim: number;
  readonly numLayers: number;
  /** Width of the text encoder's output. */
  readonly textDim: number;
  /** Width of the CLIP vision tower's output; null for a model without image cross-attention. */
  readonly imageDim: number | null;
  /** Width of the timestep sinusoid. */
  readonly freqDim: number;
  /** Channels of [noisy latents | mask | pose latents]. */
  readonly inDim: number;
  /** Channels of latents and velocity. */
  readonly outDim: number;
  readonly patchSize: PatchSize;
  /** Epsilon of the norms in blocks and head. */
  readonly eps: number;
  readonly ropeTheta: number;
  /** Places the reference image left of the video in RoPE space, instead of on top of its first frame. */
  readonly shiftRefPos: boolean;
  /** How hand-normal latents enter: not at all, by a patch convolution, or by one followed by a 1x1x1 projection. */
  readonly hand: "none" | "conv" | "conv+proj";
}

const WAN: Omit<WanDiTConfig, "dim" | "numHeads" | "ffnDim" | "numLayers" | "textDim" | "imageDim"> = {
  freqDim: 256,
  inDim: 36,
  outDim: 16,
  patchSize: [1, 2, 2],
  eps: 1e-6,
  ropeTheta: 10000,
  shiftRefPos: true,
  hand: "conv+proj",
};

/** Named architectures: `tiny` for tests, `mini` for the embedded model, `wan14b` as published. */
export const WAN_DIT_PRESETS = {
  tiny: { ...WAN, dim: 24, numHeads: 2, ffnDim: 48, numLayers: 2, textDim: 16, imageDim: 20, freqDim: 16 },
  mini: { ...WAN, dim: 256, numHeads: 4, ffnDim: 1024, numLayers: 8, textDim: 64, imageDim: 64 },
  wan14b: {
    ...WAN,
    dim: 5120,
    numHeads: 40,
    ffnDim: 13824,
    numLayers: 40,
    textDim: 4096,
    imageDim: 1280,
  },
} as const satisfies Record<string, WanDiTConfig>;

/**
 * Checks that the sizes of an architecture fit together.
 * @throws UserError naming the first value that does not
 */
export function checkWanDiTConfig(config: WanDiTConfig): void {
  const { dim, numHeads, freqDim, inDim, outDim } = config;
  if (dim % (2 * numHeads) !== 0) {
    throw new UserError(`dim ${dim} over ${numHeads} heads: the width of a head must be a whole even number`);
  }
  if (dim / numHeads < 6) {
    throw new UserError(`heads are ${dim / numHeads} wide; rotary positions in three axes need at least 6`);
  }
  if (freqDim % 2 !== 0) throw new UserError(`freqDim is ${freqDim}; it must be even`);
  if (inDim <= outDim) {
    throw new UserError(`inDim is ${inDim}; it must exceed outDim (${outDim}) by the condition channels`);
  }
}
