// Shapes: B batch, C latent channels, f latent frames, h w latent rows and columns, M text tokens, S image side,
// N image tokens, D width of an encoder

import { Graph, type Value, cast, equal, mean, mul, not, sub } from "../graph/index.ts";
import { type ClipVisionConfig, numImageTokens } from "../models/clip-vision/config.ts";
import { clipVision } from "../models/clip-vision/model.ts";
import { type Umt5Config } from "../models/umt5/config.ts";
import { umt5Encoder, zeroPadding } from "../models/umt5/model.ts";
import { type WanDiTConfig } from "../models/wan-dit/config.ts";
import { wanDiT } from "../models/wan-dit/model.ts";
import { type BlockwiseModel } from "./blockwise-graphs.ts";

/** The networks that are trained together: each one's keys lie below its own name. */
export interface DenoiserModels {
  readonly dit: WanDiTConfig;
  readonly textEncoder: Umt5Config;
  readonly imageEncoder: ClipVisionConfig;
}

/** First part of the parameters' keys in a training graph and in its checkpoints. */
export const MODEL_SCOPES = {
  dit: "dit",
  textEncoder: "text_encoder",
  imageEncoder: "image_encoder",
} as const;

export interface DenoiserShape {
  readonly batch: number;
  readonly latentFrames: number;
  readonly latentHeight: number;
  readonly latentWidth: number;
  readonly textTokens: number;
}

/** Declares or computes what the denoiser reads of text and reference. */
export type ConditionInputs = (
  graph: Graph,
  models: DenoiserModels,
  shape: DenoiserShape,
) => { readonly context: Value; readonly clipFeature: Value };

/** The encoders stand in front, so that they learn too. Inputs: `tokens` [B, M], `image` [B, 3, S, S]. */
export const learningEncoders: ConditionInputs = (graph, models, { batch: B, textTokens }) => {
  const { textEncoder, imageEncoder } = models;
  const tokens = graph.input("tokens", [B, textTokens], { dtype: "int32" });
  const pixels = graph.input("image", [B, 3, imageEncoder.imageSize, imageEncoder.imageSize]);
  const isToken = cast(not(equal(tokens, 0)), "int32");
  const text = umt5Encoder(graph.scope(MODEL_SCOPES.textEncoder), textEncoder, tokens, isToken);
  return {
    context: zeroPadding(text.output, isToken),
    clipFeature: clipVision(graph.scope(MODEL_SCOPES.imageEncoder), imageEncoder, pixels).output,
  };
};

/** Encoders that do not learn have run before. Inputs: `context` [B, M, D], zero in padding, `clipFeature` [B, N, D]. */
export const givenEncodings: ConditionInputs = (graph, models, { batch: B, textTokens }) => {
  const { textEncoder, imageEncoder } = models;
  return {
    context: graph.input("context", [B, textTokens, textEncoder.dim]),
    clipFeature: graph.input("clipFeature", [B, numImageTokens(imageEncoder), imageEncoder.dim]),
  };
};

/**
 * The denoiser, what stands in front of it, and the loss behind it: the flow-matching loss of a batch (paper, section 3;
 * method section 6), the weighted mean of (velocity - target)². Inputs: those of `denoiserBatch`, where `conditions`
 * takes `tokens` and `image`.
 */
export function denoiserInTraining(
  models: DenoiserModels,
  shape: DenoiserShape,
  conditions: ConditionInputs,
): BlockwiseModel {
  const { batch: B, latentFrames: f, latentHeight: h, latentWidth: w } = shape;
  const { dit } = models;
  const C = dit.outDim;
  return {
    config: dit,
    scope: MODEL_SCOPES.dit,
    inputs: (graph) => ({
      latents: graph.input("latents", [B, C, f, h, w]),
      cond: graph.input("cond", [B, dit.inDim - C, f, h, w]),
      hand: graph.input("hand", [B, C, f, h, w]),
      ref: graph.input("ref", [B, C, 1, h, w]),
      timestep: graph.input("timestep", [B]),
      ...conditions(graph, models, shape),
    }),
    loss(velocity) {
      const { graph } = velocity;
      const error = sub(velocity, graph.input("target", [B, C, f, h, w]));
      return mean(mul(mul(error, error), graph.input("weight", [B, 1, f, h, w])));
    },
  };
}

/** The same as one graph with output `loss`. */
export function buildDenoiserLoss({ config, scope, inputs, loss: lossOf }: BlockwiseModel): {
  readonly graph: Graph;
  readonly loss: Value;
} {
  const graph = new Graph();
  const loss = lossOf(wanDiT(graph.scope(scope), config, inputs(graph)).velocity);
  graph.output("loss", loss);
  return { graph, loss };
}
