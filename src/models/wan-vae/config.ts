import { UserError } from "../../tensor/errors.ts";

/** Widths of the encoder or of the decoder. */
export interface WanVaeSide {
  /** Channels at full resolution are `dim * dimMult[0]`. */
  readonly dim: number;
  /** One factor per resolution, from full resolution down; each resolution halves height and width. */
  readonly dimMult: readonly number[];
  /** Residual blocks per resolution of the encoder; the decoder has one more. */
  readonly numResBlocks: number;
}

/**
 * Architecture of the 3D causal VAE of Wan2.1. The published model has equal sides; a small model may save where
 * it is not seen: encoding is easier than decoding.
 */
export interface WanVaeConfig {
  readonly encoder: WanVaeSide;
  readonly decoder: WanVaeSide;
  /** Latent channels. */
  readonly zDim: number;
  /** Whether each halving of the resolution halves the frame rate too, from full resolution down. */
  readonly temporalDownsample: readonly boolean[];
  /** Per latent channel: latents = (mu - latentMean) / latentStd. */
  readonly latentMean: readonly number[];
  readonly latentStd: readonly number[];
}

const PUBLISHED_SIDE: WanVaeSide = { dim: 96, dimMult: [1, 2, 4, 4], numResBlocks: 2 };

const TEMPORAL_DOWNSAMPLE = [false, true, true];

/** Wan2.1_VAE.pth with the published latent statistics. */
export const WAN_VAE: WanVaeConfig = {
  encoder: PUBLISHED_SIDE,
  decoder: PUBLISHED_SIDE,
  zDim: 16,
  temporalDownsample: TEMPORAL_DOWNSAMPLE,
  latentMean: [
    -0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508, 0.4134, -0.0715, 0.5517, -0.3632,
    -0.1922, -0.9497, 0.2503, -0.2921,
  ],
  latentStd: [
    2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743, 3.2687, 2.1526, 2.8652, 1.5579, 1.6382,
    1.1253, 2.8251, 1.916,
  ],
};

const NEUTRAL_STATISTICS = {
  latentMean: new Array<number>(16).fill(0),
  latentStd: new Array<number>(16).fill(1),
};

/** The smallest VAE of the real architecture, for tests. */
export const TINY_WAN_VAE: WanVaeConfig = {
  encoder: { dim: 4, dimMult: [1, 2, 2, 2], numResBlocks: 1 },
  decoder: { dim: 4, dimMult: [1, 2, 2, 2], numResBlocks: 1 },
  zDim: 16,
  temporalDownsample: TEMPORAL_DOWNSAMPLE,
  ...NEUTRAL_STATISTICS,
};

/** The embedded model before training has measured its latent statistics. Its decoder is wide where pictures are large. */
export const MINI_WAN_VAE: WanVaeConfig = {
  encoder: { dim: 8, dimMult: [1, 4, 8, 8], numResBlocks: 1 },
  decoder: { dim: 16, dimMult: [1, 2, 4, 4], numResBlocks: 1 },
  zDim: 16,
  temporalDownsample: TEMPORAL_DOWNSAMPLE,
  ...NEUTRAL_STATISTICS,
};

/** Pixels per latent row or column: 8 for the published model. */
export function spatialStride(config: WanVaeConfig): number {
  return 2 ** config.temporalDownsample.length;
}

/** Frames per latent frame after the first: 4 for the published model. */
export function temporalStride(config: WanVaeConfig): number {
  return 2 ** config.temporalDownsample.filter(Boolean).length;
}

/**
 * Latent frames of a video: the first frame has one of its own, then one per `temporalStride` frames.
 * Throws UserError unless the number of frames is 1 + a multiple of the stride.
 */
export function numLatentFrames(config: WanVaeConfig, numFrames: number): number {
  const stride = temporalStride(config);
  const count = 1 + (numFrames - 1) / stride;
  if (!Number.isInteger(count) || count < 1) {
    throw new UserError(
      `the VAE got ${numFrames} frames; it takes 1, ${1 + stride}, ${1 + 2 * stride}, … (1 plus a multiple of ${stride})`,
    );
  }
  return count;
}
