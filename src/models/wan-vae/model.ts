// Shapes: B batch, T frames, H W rows and columns in pixels, t h w the same of latents, Z latent channels

import { invariant } from "../../tensor/errors.ts";
import { float32 } from "../../tensor/tensor.ts";
import { Graph, type Value, add, cast, div, mul, slice, sub } from "../../graph/index.ts";
import { type WanVaeConfig, spatialStride, temporalStride } from "./config.ts";
import { decoder } from "./decoder.ts";
import { encoder } from "./encoder.ts";
import { type ChunkPosition, FeatureCache } from "./feature-cache.ts";
import { pointwiseConv } from "./layers.ts";

/** What a VAE graph works on. */
export interface VaeChunk {
  /** A start chunk has 1 + 4k frames (1 + k latent frames), a next chunk 4k frames (k latent frames). */
  readonly position: ChunkPosition;
  readonly numLatentFrames: number;
  /** Rows and columns of the latents; the video has `spatialStride` times as many. */
  readonly latentHeight: number;
  readonly latentWidth: number;
}

/** Frames of a chunk's video. */
export function numFramesOf(config: WanVaeConfig, chunk: VaeChunk): number {
  const stride = temporalStride(config);
  return stride * chunk.numLatentFrames - (chunk.position === "start" ? stride - 1 : 0);
}

/**
 * Graph that encodes one chunk: input `video` [1, 3, T, H, W] in -1..1, output `latents` [1, Z, t, h, w], normalised.
 * Feature caches: see FeatureCache; a start chunk has no cache inputs.
 */
export function buildVaeEncoder(config: WanVaeConfig, chunk: VaeChunk): Graph {
  const graph = new Graph();
  const stride = spatialStride(config);
  const size = [chunk.latentHeight * stride, chunk.latentWidth * stride];
  const video = graph.input("video", [1, 3, numFramesOf(config, chunk), ...size]);
  const cache = new FeatureCache(graph, chunk.position);
  const { mu } = encodeMoments(config, cache, video);
  graph.output("latents", normalise(config, mu));
  cache.emit();
  return graph;
}

/**
 * Graph that decodes one chunk: input `latents` [1, Z, t, h, w], normalised, output `video` [1, 3, T, H, W].
 * The video is not clamped, because tiles are blended before that; its range is -1..1.
 */
export function buildVaeDecoder(config: WanVaeConfig, chunk: VaeChunk): Graph {
  const graph = new Graph();
  const shape = [1, config.zDim, chunk.numLatentFrames, chunk.latentHeight, chunk.latentWidth];
  const latents = graph.input("latents", shape);
  const cache = new FeatureCache(graph, chunk.position);
  graph.output("video", decodeFeatures(config, cache, denormalise(config, latents)));
  cache.emit();
  return graph;
}

/** What the encoder makes of a video. */
export interface Moments {
  /** Before the last pointwise convolution, [B, 2Z, t, h, w]. */
  readonly features: Value;
  /** Mean and log-variance of the latents before normalisation, [B, Z, t, h, w] each. */
  readonly mu: Value;
  readonly logVariance: Value;
}

/** Encodes a video [B, 3, T, H, W] in -1..1. */
export function encodeMoments(config: WanVaeConfig, cache: FeatureCache, video: Value): Moments {
  const scope = cache.graph.scope();
  const features = encoder(scope.in("encoder"), config, cache, video);
  const moments = pointwiseConv(scope.in("conv1"), features, 2 * config.zDim);
  const [mu, logVariance] = [slice(moments, 1, 0, config.zDim), slice(moments, 1, config.zDim)];
  return { features, mu, logVariance };
}

/** Latents before normalisation [B, Z, t, h, w] -> video [B, 3, T, H, W], not clamped. */
export function decodeFeatures(config: WanVaeConfig, cache: FeatureCache, z: Value): Value {
  const scope = cache.graph.scope();
  return decoder(scope.in("decoder"), config, cache, pointwiseConv(scope.in("conv2"), z, config.zDim));
}

/** (mu - mean) / std per channel. */
export function normalise(config: WanVaeConfig, mu: Value): Value {
  return div(sub(mu, perChannel(config.latentMean, mu)), perChannel(config.latentStd, mu));
}

/** latents · std + mean per channel. */
export function denormalise(config: WanVaeConfig, latents: Value): Value {
  return add(mul(latents, perChannel(config.latentStd, latents)), perChannel(config.latentMean, latents));
}

function perChannel(numbers: readonly number[], like: Value): Value {
  invariant(
    numbers.length === like.dim(1),
    `${numbers.length} latent statistics for ${like.dim(1)} channels`,
  );
  return cast(like.graph.constant(float32(numbers, [numbers.length, 1, 1, 1])), like.dtype);
}
