// Shapes: B batch, T frames, H W rows and columns in pixels, t h w the same of latents, Z latent channels

import { Graph, type Value, abs, add, mean, mul, slice, sub } from "../graph/index.ts";
import { type WanVaeConfig, numLatentFrames, spatialStride } from "../models/wan-vae/config.ts";
import { FeatureCache } from "../models/wan-vae/feature-cache.ts";
import { decodeFeatures, denormalise, encodeMoments, normalise } from "../models/wan-vae/model.ts";

export interface VaeBatchShape {
  readonly batch: number;
  /** 1 + 4k. */
  readonly numFrames: number;
  readonly height: number;
  readonly width: number;
}

/** Share of each term in the loss. Errors are those of pixels in -1..1. */
export interface VaeLossWeights {
  readonly squared: number;
  readonly absolute: number;
  /** Absolute error of the differences of neighbouring pixels: keeps edges and thin limbs. */
  readonly gradient: number;
  /** Absolute error of the differences of neighbouring frames: keeps the four frames of a latent from showing as a beat. */
  readonly change: number;
  /** Mean square of the latents, which keeps their scale. */
  readonly latent: number;
}

export const VAE_LOSS_WEIGHTS: VaeLossWeights = {
  squared: 2,
  absolute: 0.5,
  gradient: 0.5,
  change: 0.5,
  latent: 1e-3,
};

/**
 * Graph of the reconstruction loss of a batch of clips.
 *
 * Inputs: `video` [B, 3, T, H, W] in -1..1, `weight` [B, 1, T, H, W] with mean near 1, and `noise` [B, Z, t, h, w],
 * added to the normalised latents before they are decoded, so that the decoder forgives the errors of generated latents.
 * Outputs: `loss` and the unweighted mean squared error `mse`.
 */
export function buildVaeLoss(
  config: WanVaeConfig,
  shape: VaeBatchShape,
  weights: VaeLossWeights = VAE_LOSS_WEIGHTS,
): { readonly graph: Graph; readonly loss: Value } {
  const { batch, numFrames, height, width } = shape;
  const graph = new Graph();
  const video = graph.input("video", [batch, 3, numFrames, height, width]);
  const weight = graph.input("weight", [batch, 1, numFrames, height, width]);
  const stride = spatialStride(config);
  const latentSize = [numLatentFrames(config, numFrames), height / stride, width / stride];
  const noise = graph.input("noise", [batch, config.zDim, ...latentSize]);

  const { mu } = encodeMoments(config, new FeatureCache(graph, "start"), video);
  const noisy = denormalise(config, add(normalise(config, mu), noise));
  const decoded = decodeFeatures(config, new FeatureCache(graph, "start"), noisy);

  const error = sub(decoded, video);
  const squared = mul(error, error);
  const terms = [
    mul(mean(mul(squared, weight)), weights.squared),
    mul(mean(mul(abs(error), weight)), weights.absolute),
    mul(add(slope(error, weight, 3), slope(error, weight, 4)), weights.gradient),
    ...(numFrames > 1 ? [mul(slope(error, weight, 2), weights.change)] : []),
    mul(mean(mul(mu, mu)), weights.latent),
  ];
  const loss = terms.reduce(add);
  graph.output("loss", loss);
  graph.output("mse", mean(squared));
  return { graph, loss };
}

/** Weighted mean of |error(i+1) - error(i)| along an axis. */
function slope(error: Value, weight: Value, axis: number): Value {
  const difference = sub(slice(error, axis, 1), slice(error, axis, 0, -1));
  return mean(mul(abs(difference), slice(weight, axis, 1)));
}
