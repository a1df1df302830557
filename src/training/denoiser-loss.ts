// Shapes: B batch, C latent channels, f latent frames, h w latent rows and columns, M text tokens, S image side

import { Graph, type Value, cast, equal, mean, mul, not, sub } from "../graph/index.ts";
import { type ClipVisionConfig } from "../models/clip-vision/config.ts";
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

/**
 * The denoiser with its encoders in front, so that their parameters can be trained too, and the loss behind it: the
 * flow-matching loss of a batch (paper, section 3; method section 6), the weighted mean of (velocity - target)².
 * Inputs: those of `denoiserBatch`.
 */
export function denoiserInTraining(models: DenoiserModels, shape: DenoiserShape): BlockwiseModel {
  const { batch: B, latentFrames: f, latentHeight: h, latentWidth: w, textTokens } = shape;
  const { dit, textEncoder, imageEncoder } = models;
  const C = dit.outDim;
  return {
    config: dit,
    scope: MODEL_SCOPES.dit,
    inputs(graph) {
      const tokens = graph.input("tokens", [B, textTokens], { dtype: "int32" });
      const pixels = graph.input("image", [B, 3, imageEncoder.imageSize, imageEncoder.imageSize]);
      const isToken = cast(not(equal(tokens, 0)), "int32");
      const text = umt5Encoder(graph.scope(MODEL_SCOPES.textEncoder), textEncoder, tokens, isToken);
      return {
        latents: graph.input("latents", [B, C, f, h, w]),
        cond: graph.input("cond", [B, dit.inDim - C, f, h, w]),
        hand: graph.input("hand", [B, C, f, h, w]),
        ref: graph.input("ref", [B, C, 1, h, w]),
        timestep: graph.input("timestep", [B]),
        context: zeroPadding(text.output, isToken),
        clipFeature: clipVision(graph.scope(MODEL_SCOPES.imageEncoder), imageEncoder, pixels).output,
      };
    },
    loss(velocity) {
      const { graph } = velocity;
      const error = sub(velocity, graph.input("target", [B, C, f, h, w]));
      return mean(mul(mul(error, error), graph.input("weight", [B, 1, f, h, w])));
    },
  };
}

/** The same as one graph with output `loss`. */
export function buildDenoiserLoss(
  models: DenoiserModels,
  shape: DenoiserShape,
): { readonly graph: Graph; readonly loss: Value } {
  const { config, scope, inputs, loss: lossOf } = denoiserInTraining(models, shape);
  const graph = new Graph();
  const loss = lossOf(wanDiT(graph.scope(scope), config, inputs(graph)).velocity);
  graph.output("loss", loss);
  return { graph, loss };
}
