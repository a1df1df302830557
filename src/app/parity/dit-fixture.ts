/** What the fixtures of the denoiser (dit, dit_kvshare, lora) share: configuration, weights, running a graph. */
import { z } from "zod";
import { type Graph, sameShape, serialize, verify } from "../../graph/index.ts";
import { declareInputs } from "../../models/wan-dit/build.ts";
import { type WanDiTConfig } from "../../models/wan-dit/config.ts";
import { type WanDiTInputs } from "../../models/wan-dit/embed.ts";
import { Engine } from "../../runtime/engine.ts";
import { type Checkpoint } from "../../runtime/safetensors.ts";
import { UserError } from "../../tensor/errors.ts";
import { type Tensor, float32 } from "../../tensor/tensor.ts";

const size = z.number().int().positive();

/** `model_config` as the published code spells it. */
export const modelSchema = z.object({
  in_dim: size,
  out_dim: size,
  eps: z.number(),
  patch_size: z.tuple([size, size, size]),
  has_image_input: z.boolean(),
  has_image_pos_emb: z.literal(false),
  shift_ref_pos: z.boolean(),
  use_hand: z.boolean(),
  use_hand_proj: z.boolean(),
  dim: size,
  num_heads: size,
  ffn_dim: size,
  num_layers: size,
  text_dim: size,
  freq_dim: size,
});

export type ModelConfig = z.infer<typeof modelSchema>;

/** The architecture in our terms; `imageDim` is the width of the fixture's image features. */
export function wanDiTConfig(model: ModelConfig, imageDim: number): WanDiTConfig {
  return {
    dim: model.dim,
    numHeads: model.num_heads,
    ffnDim: model.ffn_dim,
    numLayers: model.num_layers,
    textDim: model.text_dim,
    imageDim: model.has_image_input ? imageDim : null,
    freqDim: model.freq_dim,
    inDim: model.in_dim,
    outDim: model.out_dim,
    patchSize: model.patch_size,
    eps: model.eps,
    ropeTheta: 10000,
    shiftRefPos: model.shift_ref_pos,
    hand: !model.use_hand ? "none" : model.use_hand_proj ? "conv+proj" : "conv",
  };
}

/** The dit fixture's config.json. */
export const ditConfigSchema = z.object({
  model_config: modelSchema,
  cases: z.record(
    z.string(),
    z.object({
      overrides: modelSchema.partial(),
      /** e.g. "A.* with clip_feature divided by 128": a prefix, and perhaps a scale. */
      inputs: z.string(),
    }),
  ),
});

/** Values of all inputs a case may feed. */
export type DitFeeds = Record<keyof WanDiTInputs, Tensor<"float32">>;

/** Inputs of a case; text and image features fall back to set A, which all sets share. */
export async function readCaseInputs(
  inputs: Checkpoint,
  name: string,
  description: string,
): Promise<DitFeeds> {
  const set = description.slice(0, description.indexOf("."));
  const read = (key: string): Promise<Tensor<"float32">> =>
    inputs.readFloat32(inputs.tensors.has(`${set}.${key}`) ? `${set}.${key}` : `A.${key}`);
  const divisor = Number(/clip_feature divided by ([\d.]+)/.exec(description)?.[1] ?? 1);
  const clipFeature = await read("clip_feature");
  return {
    latents: await read("latents"),
    cond: await read("cond_latents"),
    hand: await read("hand_latents"),
    ref: await read("ref_latents"),
    timestep: await inputs.readFloat32(`timestep.${name}`),
    context: await read("context"),
    clipFeature: float32(
      clipFeature.data.map((x) => x / divisor),
      clipFeature.shape,
    ),
  };
}

/** Declares the denoiser's inputs in the sizes of a case. */
export function declareCase(graph: Graph, config: WanDiTConfig, feeds: DitFeeds): WanDiTInputs {
  const [batch, , latentFrames, latentHeight, latentWidth] = feeds.latents.shape as Dims5;
  return declareInputs(graph, config, {
    batch,
    latentFrames,
    latentHeight,
    latentWidth,
    textTokens: feeds.context.shape[1]!,
    imageTokens: feeds.clipFeature.shape[1]!,
    timesteps: feeds.timestep.shape.length === 2 ? "per-frame" : "per-sample",
  });
}

type Dims5 = [number, number, number, number, number];

/**
 * Reads every parameter of a graph by its key.
 * @throws UserError when the checkpoint lacks one or has it in another shape
 */
export async function readParams(
  graph: Graph,
  find: (key: string) => Checkpoint,
): Promise<Record<string, Tensor>> {
  const weights: Record<string, Tensor> = {};
  for (const [key, { shape }] of graph.params) {
    const weight = await find(key).readFloat32(key);
    if (!sameShape(weight.shape, shape)) {
      throw new UserError(`${key} is [${weight.shape.join(", ")}]; expected [${shape.join(", ")}]`);
    }
    weights[key] = weight;
  }
  return weights;
}

/** Makes an engine of a graph with its weights bound. The caller releases it. */
export async function prepare(graph: Graph, weights: Readonly<Record<string, Tensor>>): Promise<Engine> {
  verify(graph);
  const inputs = Object.fromEntries([...graph.params.keys()].map((key) => [key, weights[key]!]));
  return Engine.create(serialize(graph), { inputs });
}
