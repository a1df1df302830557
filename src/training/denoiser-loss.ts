// Shapes: B batch, C latent channels, f latent frames, h w latent rows and columns, M text tokens, S image side

import { Graph, type Value, cast, equal, mean, mul, not, sub } from "../graph/index.ts";
import { type ClipVisionConfig } from "../models/clip-vision/config.ts";
import { clipVision } from "../models/clip-vision/model.ts";
import { type Umt5Config } from "../models/umt5/config.ts";
import { umt5Encoder, zeroPadding } from "../models/umt5/model.ts";
import { type WanDiTConfig } from "../models/wan-dit/config.ts";
import { wanDiT } from "../models/wan-dit/model.ts";

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
 * Flow-matching loss of a batch (paper, section 3; method section 6): the weighted mean of (velocity - target)².
 *
 * Inputs: those of `denoiserBatch`. Outputs: `loss`. Text and image encoders are part of the graph, so that their
 * parameters can be trained too.
 */
export function buildDenoiserLoss(
  models: DenoiserModels,
  shape: DenoiserShape,
): { readonly graph: Graph; readonly loss: Value } {
  const { batch: B, latentFrames: f, latentHeight: h, latentWidth: w, textTokens } = shape;
  const { dit, textEncoder, imageEncoder } = models;
  const graph = new Graph();
  const C = dit.outDim;
  const target = graph.input("target", [B, C, f, h, w]);
  const weight = graph.input("weight", [B, 1, f, h, w]);
  const tokens = graph.input("tokens", [B, textTokens], { dtype: "int32" });
  const pixels = graph.input("image", [B, 3, imageEncoder.imageSize, imageEncoder.imageSize]);

  const isToken = cast(not(equal(tokens, 0)), "int32");
  const text = umt5Encoder(graph.scope(MODEL_SCOPES.textEncoder), textEncoder, tokens, isToken);
  const { velocity } = wanDiT(graph.scope(MODEL_SCOPES.dit), dit, {
    latents: graph.input("latents", [B, C, f, h, w]),
    cond: graph.input("cond", [B, dit.inDim - C, f, h, w]),
    hand: graph.input("hand", [B, C, f, h, w]),
    ref: graph.input("ref", [B, C, 1, h, w]),
    timestep: graph.input("timestep", [B]),
    context: zeroPadding(text.output, isToken),
    clipFeature: clipVision(graph.scope(MODEL_SCOPES.imageEncoder), imageEncoder, pixels).output,
  });
  const error = sub(velocity, target);
  const loss = mean(mul(mul(error, error), weight));
  graph.output("loss", loss);
  return { graph, loss };
}
