import { Graph, serialize, verify } from "../../graph/index.ts";
import { UserError } from "../../tensor/errors.ts";
import { type WanDiTConfig, checkWanDiTConfig } from "./config.ts";
import { type WanDiTInputs } from "./embed.ts";
import { type KvSharing } from "./kv-sharing.ts";
import { wanDiT } from "./model.ts";

/** A graph of the denoiser, for those who run it or rewrite it as a whole. */
export type WanDiTGraph = Graph;

/** Its ONNX model, as an engine takes it. */
export const serializeWanDiT: (graph: WanDiTGraph) => Uint8Array = serialize;

/** Sizes that a graph is built for. */
export interface WanDiTShape {
  /** Samples per run, 1 by default. */
  readonly batch?: number;
  readonly latentFrames: number;
  readonly latentHeight: number;
  readonly latentWidth: number;
  /** 512 by default. Padding takes part in attention, so this number changes the result. */
  readonly textTokens?: number;
  /** 257 by default. */
  readonly imageTokens?: number;
  /** One timestep for a sample (default), or one for each of its latent frames. */
  readonly timesteps?: "per-sample" | "per-frame";
}

/**
 * Declares the denoiser's inputs in a graph under the names of `WanDiTInputs`.
 * @throws UserError when the latent size is not a multiple of the patch size
 */
export function declareInputs(graph: Graph, config: WanDiTConfig, shape: WanDiTShape): WanDiTInputs {
  const { batch = 1, textTokens = 512, imageTokens = 257, timesteps = "per-sample" } = shape;
  const size = [shape.latentFrames, shape.latentHeight, shape.latentWidth] as const;
  size.forEach((length, i) => {
    const patch = config.patchSize[i]!;
    if (!Number.isInteger(length / patch) || length <= 0) {
      throw new UserError(`latents of ${size.join(" x ")}: ${length} is not a positive multiple of ${patch}`);
    }
  });
  const latents = (name: string, channels: number, frames = size[0]) =>
    graph.input(name, [batch, channels, frames, size[1], size[2]]);
  return {
    latents: latents("latents", config.outDim),
    cond: latents("cond", config.inDim - config.outDim),
    hand: config.hand === "none" ? null : latents("hand", config.outDim),
    ref: latents("ref", config.outDim, config.patchSize[0]),
    timestep: graph.input("timestep", timesteps === "per-frame" ? [batch, size[0]] : [batch]),
    context: graph.input("context", [batch, textTokens, config.textDim]),
    clipFeature:
      config.imageDim === null ? null : graph.input("clipFeature", [batch, imageTokens, config.imageDim]),
  };
}

/**
 * The denoiser as a graph: inputs `latents`, `cond`, `hand`, `ref`, `timestep`, `context`, `clipFeature` (see
 * `WanDiTInputs`; `hand` and `clipFeature` only where the architecture has them), output `velocity`.
 * @param kv adds the inputs and outputs of KV-sharing (see `kvHook`)
 * @throws UserError when the architecture, the sizes or the sharing do not fit together
 */
export function buildWanDiT(config: WanDiTConfig, shape: WanDiTShape, kv: KvSharing | null = null): Graph {
  checkWanDiTConfig(config);
  if (kv && (shape.batch ?? 1) !== 1) {
    throw new UserError(
      `KV-sharing takes one sample per run, because masks differ; got a batch of ${shape.batch}`,
    );
  }
  const graph = new Graph();
  const inputs = declareInputs(graph, config, shape);
  graph.output("velocity", wanDiT(graph.scope(), config, inputs, kv).velocity);
  verify(graph);
  return graph;
}
