/** For tests: a small model of published structure, written in every layout in which such models are published. */
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { buildClipVision } from "../../models/clip-vision/build.ts";
import { CLIP_VISION_PRESETS } from "../../models/clip-vision/config.ts";
import { LORA_TARGETS } from "../../models/layers/lora.ts";
import { buildUmt5 } from "../../models/umt5/build.ts";
import { UMT5_PRESETS } from "../../models/umt5/config.ts";
import { buildWanDiT } from "../../models/wan-dit/build.ts";
import { WAN_DIT_PRESETS } from "../../models/wan-dit/config.ts";
import { WAN_VAE } from "../../models/wan-vae/config.ts";
import { buildVaeDecoder, buildVaeEncoder } from "../../models/wan-vae/model.ts";
import { torchFile } from "../../runtime/pytorch/testing.ts";
import { writeSafetensors } from "../../runtime/safetensors-writer.ts";
import { Random } from "../../tensor/random.ts";
import { type Tensor, float32, sizeOf } from "../../tensor/tensor.ts";
import { captionTokenizerJson } from "../../training/tokenizer.ts";
import { theirNames } from "./key-table.ts";
import { type Network, NETWORK_NAMES } from "./weight-naming.ts";

export type Weights = Readonly<Record<string, Tensor<"float32">>>;

/** Heads are as wide as in the published models: shapes alone must tell the sizes. */
const DIT = {
  ...WAN_DIT_PRESETS.wan14b,
  dim: 128,
  numHeads: 1,
  ffnDim: 24,
  numLayers: 2,
  textDim: 16,
  imageDim: 80,
  freqDim: 16,
};
const VAE = {
  ...WAN_VAE,
  encoder: { ...WAN_VAE.encoder, dim: 2 },
  decoder: { ...WAN_VAE.decoder, dim: 4 },
};
const CLIP = {
  ...CLIP_VISION_PRESETS.vitH,
  imageSize: 16,
  patchSize: 8,
  dim: 80,
  numHeads: 1,
  ffnDim: 24,
  numLayers: 3,
};

export const PUBLISHED_TINY = { dit: DIT, vae: VAE, textEncoder: UMT5_PRESETS.tiny, imageEncoder: CLIP };

const ADDED = /^(?:ref|hand)_patch_embedding\./;
const EMBEDDING = /patch_embedding\./;

/** Shapes of the weights of each network, by our keys. */
export function publishedShapes({ dit, vae, textEncoder, imageEncoder }: typeof PUBLISHED_TINY) {
  const chunk = { position: "next", numLatentFrames: 1, latentHeight: 2, latentWidth: 2 } as const;
  const shapesOf = (...graphs: readonly ReturnType<typeof buildWanDiT>[]): Map<string, readonly number[]> =>
    new Map(graphs.flatMap(({ params }) => [...params].map(([key, { shape }]) => [key, shape] as const)));
  return {
    dit: shapesOf(buildWanDiT(dit, { latentFrames: 1, latentHeight: 2, latentWidth: 2 })),
    vae: shapesOf(buildVaeEncoder(vae, chunk), buildVaeDecoder(vae, chunk)),
    textEncoder: shapesOf(buildUmt5(textEncoder, { numTokens: 1 })),
    imageEncoder: withLastBlock(shapesOf(buildClipVision(imageEncoder)), imageEncoder.numLayers - 1),
  };
}

/** Features come from the last block but one; files have the last one too. */
function withLastBlock(shapes: Map<string, readonly number[]>, last: number): Map<string, readonly number[]> {
  const first = /^(visual\.transformer\.)0\./;
  const block = [...shapes].filter(([key]) => first.test(key));
  return new Map([
    ...shapes,
    ...block.map(([key, shape]) => [key.replace(first, `$1${last}.`), shape] as const),
  ]);
}

function randomWeights(shapes: Iterable<readonly [string, readonly number[]]>, random: Random): Weights {
  return Object.fromEntries(
    [...shapes].map(([key, shape]) => [key, float32(random.fork(key).normals(sizeOf(shape)), shape)]),
  );
}

/** All weights of the model by our keys: base and phases apart. */
export function publishedWeights(seed = 1) {
  const random = new Random(seed);
  const shapes = publishedShapes(PUBLISHED_TINY);
  const phase = (name: string): Weights =>
    randomWeights(
      [...shapes.dit].flatMap(([key, shape]): [string, readonly number[]][] => {
        if (EMBEDDING.test(key)) return [[key, shape]];
        if (!LORA_TARGETS.test(key)) return [];
        const stem = key.replace(/weight$/, "");
        return [
          [`${stem}lora_A.default.weight`, [2, shape[1]!]],
          [`${stem}lora_B.default.weight`, [shape[0]!, 2]],
        ];
      }),
      random.fork(name),
    );
  const network = (name: Network): Weights => randomWeights(shapes[name], random.fork(name));
  return {
    dit: network("dit"),
    vae: network("vae"),
    textEncoder: network("textEncoder"),
    imageEncoder: network("imageEncoder"),
    phase1: phase("phase1"),
    phase2: phase("phase2"),
  };
}

export const LAYOUTS = ["original", "posegen", "diffusers", "single-files"] as const;
export type Layout = (typeof LAYOUTS)[number];

/** Writes the model in a layout, with what such files hold besides. Returns the folder. */
export async function writePublishedModel(
  folder: string,
  layout: Layout,
  weights = publishedWeights(),
): Promise<string> {
  const to = async (path: string, write: (path: string) => Promise<void>): Promise<void> => {
    const place = join(folder, path);
    await mkdir(dirname(place), { recursive: true });
    await write(place);
  };
  const torch = (path: string, tensors: Weights, format: "zip" | "legacy" = "zip") =>
    to(path, (place) => writeFile(place, torchFile(tensors, format)));
  const safetensors = (path: string, tensors: Weights) =>
    to(path, (place) => writeSafetensors(place, tensors));
  const json = (path: string, value: unknown) => to(path, (place) => writeFile(place, JSON.stringify(value)));
  const shards = async (stem: string, tensors: Weights): Promise<void> => {
    const entries = Object.entries(tensors);
    const halves = [entries.slice(0, 20), entries.slice(20)];
    const names = halves.map((_, i) => `${stem}-0000${i + 1}-of-00002.safetensors`);
    for (const [i, half] of halves.entries()) await safetensors(names[i]!, Object.fromEntries(half));
    const base = (path: string): string => path.slice(path.lastIndexOf("/") + 1);
    const map = halves.flatMap((half, i) => half.map(([key]) => [key, base(names[i]!)]));
    await json(`${stem}.safetensors.index.json`, { metadata: {}, weight_map: Object.fromEntries(map) });
  };

  const original = without(weights.dit, ADDED);
  const phases = { "720p-81f-base": weights.phase1, "720p-81f-cond": weights.phase2 };
  for (const [name, phase] of Object.entries(phases)) {
    const whole = layout === "posegen" ? { ...wrapped(weights.dit), ...phase } : phase;
    const names = Object.entries(whole).map(([key, tensor]) => [`pipe.dit.${key}`, tensor] as const);
    for (const i of [0, 1]) {
      const half = names.filter((_, at) => at % 2 === i);
      await torch(`${name}/pytorch_model-0000${i + 1}-of-00002.bin`, Object.fromEntries(half));
    }
    await json(`${name}/model_config.json`, CONFIG);
  }
  const tokenizer = captionTokenizerJson();
  if (layout === "original" || layout === "posegen") {
    if (layout === "original") await shards("diffusion_pytorch_model", original);
    const extra = { "visual.head": float32([1]), "textual.weight": float32([1]), log_scale: float32([1]) };
    await torch("Wan2.1_VAE.pth", weights.vae);
    await torch("models_t5_umt5-xxl-enc-bf16.pth", weights.textEncoder, "legacy");
    await torch("models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth", {
      ...weights.imageEncoder,
      ...extra,
    });
    await to("google/umt5-xxl/tokenizer.json", (place) => writeFile(place, tokenizer));
  } else if (layout === "diffusers") {
    await shards("transformer/diffusion_pytorch_model", renamed("dit", original));
    await safetensors("vae/diffusion_pytorch_model.safetensors", renamed("vae", weights.vae));
    await shards("text_encoder/model", renamed("textEncoder", weights.textEncoder));
    await safetensors("image_encoder/model.safetensors", renamed("imageEncoder", weights.imageEncoder));
    await to("tokenizer/tokenizer.json", (place) => writeFile(place, tokenizer));
  } else {
    const prefixed = Object.entries(original).map(([key, tensor]) => [
      `model.diffusion_model.${key}`,
      tensor,
    ]);
    await safetensors("diffusion_models/wan2.1_i2v_720p_14B_fp16.safetensors", Object.fromEntries(prefixed));
    await safetensors("vae/wan_2.1_vae.safetensors", weights.vae);
    await safetensors("text_encoders/umt5_xxl_fp16.safetensors", renamed("textEncoder", weights.textEncoder));
    await safetensors("clip_vision/clip_vision_h.safetensors", renamed("imageEncoder", weights.imageEncoder));
    await to("text_encoders/tokenizer.json", (place) => writeFile(place, tokenizer));
  }
  return folder;
}

const CONFIG = {
  in_dim: 36,
  out_dim: 16,
  eps: 1e-6,
  patch_size: [1, 2, 2],
  has_image_input: true,
  has_image_pos_emb: false,
  shift_ref_pos: true,
  use_hand: true,
  use_hand_proj: true,
  dim: DIT.dim,
  num_heads: DIT.numHeads,
  ffn_dim: DIT.ffnDim,
  num_layers: DIT.numLayers,
  text_dim: DIT.textDim,
  freq_dim: DIT.freqDim,
};

function without(weights: Weights, pattern: RegExp): Weights {
  return Object.fromEntries(Object.entries(weights).filter(([key]) => !pattern.test(key)));
}

/** Names that PEFT gives to the base of layers with pairs, biases included. */
function wrapped(weights: Weights): Weights {
  const name = (key: string): string => {
    const layer = key.replace(/\.(?:weight|bias)$/, "");
    return LORA_TARGETS.test(`${layer}.weight`) ? `${layer}.base_layer${key.slice(layer.length)}` : key;
  };
  return Object.fromEntries(Object.entries(weights).map(([key, tensor]) => [name(key), tensor]));
}

/** Weights under the other names of a network, split and with fewer axes where those are. */
export function renamed(network: Network, weights: Weights): Weights {
  const { table } = NETWORK_NAMES[network];
  const result: Record<string, Tensor<"float32">> = {};
  for (const [key, { data, shape }] of Object.entries(weights)) {
    const names = theirNames(table, key);
    const isShort = table.some(({ ours, rank }) => ours === key && rank !== undefined);
    const theirs = isShort
      ? shape.slice(shape[1] === 1 ? 2 : 1)
      : [shape[0]! / names.length, ...shape.slice(1)];
    for (const [i, name] of names.entries()) {
      const size = data.length / names.length;
      result[name] = float32(data.slice(i * size, (i + 1) * size), theirs);
    }
  }
  return result;
}
