/** For tests: a model folder, and a VAE, of the real architecture at the smallest size, with random weights. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { serialize } from "../graph/index.ts";
import { buildClipVision } from "../models/clip-vision/build.ts";
import { CLIP_VISION_PRESETS } from "../models/clip-vision/config.ts";
import { LORA_TARGETS } from "../models/layers/lora.ts";
import { buildUmt5 } from "../models/umt5/build.ts";
import { UMT5_PRESETS } from "../models/umt5/config.ts";
import { buildWanDiT } from "../models/wan-dit/build.ts";
import { WAN_DIT_PRESETS } from "../models/wan-dit/config.ts";
import { TINY_WAN_VAE } from "../models/wan-vae/config.ts";
import { buildVaeDecoder, buildVaeEncoder } from "../models/wan-vae/model.ts";
import { Engine, type SlotMemory } from "../runtime/engine.ts";
import { writeSafetensors } from "../runtime/safetensors-writer.ts";
import { type Tensor, float32, sizeOf } from "../tensor/tensor.ts";
import { Random } from "../tensor/random.ts";
import { captionTokenizerJson } from "../training/tokenizer.ts";
import { VideoVae } from "./latents.ts";
import { MODEL_FILES, MODEL_JSON, type ModelDescription, TOKENIZER_JSON } from "./model-folder.ts";

const EVERYWHERE = { steps: [0, 2], blocks: [1, 2] } as const;

export const TINY_MODEL: ModelDescription = {
  format: 1,
  name: "tiny",
  dit: { ...WAN_DIT_PRESETS.tiny, patchSize: [1, 2, 2] },
  vae: {
    ...TINY_WAN_VAE,
    encoder: { ...TINY_WAN_VAE.encoder, dimMult: [...TINY_WAN_VAE.encoder.dimMult] },
    decoder: { ...TINY_WAN_VAE.decoder, dimMult: [...TINY_WAN_VAE.decoder.dimMult] },
    temporalDownsample: [...TINY_WAN_VAE.temporalDownsample],
    latentMean: [...TINY_WAN_VAE.latentMean],
    latentStd: [...TINY_WAN_VAE.latentStd],
  },
  textEncoder: UMT5_PRESETS.tiny,
  imageEncoder: CLIP_VISION_PRESETS.tiny,
  textTokens: 16,
  defaults: {
    width: 32,
    height: 48,
    fps: 8,
    segmentFrames: 9,
    steps: 3,
    guidanceScale: 2,
    shift: 3,
    negativePrompt: "blurry",
  },
  skeleton: { style: "scaled", channelOrder: "palette" },
  sharing: {
    "close-up": { steps: [...EVERYWHERE.steps], blocks: [...EVERYWHERE.blocks] },
    "half-body": { steps: [...EVERYWHERE.steps], blocks: [...EVERYWHERE.blocks] },
    "full-body": { steps: [...EVERYWHERE.steps], blocks: [...EVERYWHERE.blocks] },
    distant: { steps: [...EVERYWHERE.steps], blocks: [...EVERYWHERE.blocks] },
  },
  maxMapBlock: 1,
};

type Weights = Record<string, Tensor<"float32">>;
type Params = Iterable<readonly [string, { readonly shape: readonly number[] }]>;

/** Random values of a size that keeps activations near 1; vectors are scales of norms or biases. */
function randomWeights(params: Params, random: Random): Weights {
  const weights: Weights = {};
  for (const [key, { shape }] of params) {
    const values = random.fork(key).normals(sizeOf(shape));
    const isScale = shape.length === 1 && !key.endsWith("bias");
    const deviation = shape.length === 1 ? 0.1 : 1 / Math.sqrt(sizeOf(shape.slice(1)));
    weights[key] = float32(
      values.map((x) => (isScale ? 1 : 0) + deviation * x),
      shape,
    );
  }
  return weights;
}

/** A finetuning: pairs for the paper's layers, and the patch embeddings whole. */
function randomFinetuning(params: Params, random: Random): Weights {
  const rank = 2;
  const shapes = new Map<string, { shape: readonly number[] }>();
  for (const [key, { shape }] of params) {
    if (LORA_TARGETS.test(key)) {
      const stem = key.replace(/weight$/, "");
      shapes.set(`${stem}lora_A.weight`, { shape: [rank, shape[1]!] });
      shapes.set(`${stem}lora_B.weight`, { shape: [shape[0]!, rank] });
    } else if (/patch_embedding/.test(key)) shapes.set(key, { shape });
  }
  return randomWeights(shapes, random);
}

/**
 * A VAE whose weights depend on their key alone, so that all its graphs share them. It runs in this thread.
 * @param slots where it keeps what its layers remember
 */
export function openTinyVae(slots: SlotMemory): VideoVae {
  return new VideoVae(TINY_WAN_VAE, (graph) => {
    const weights = [...graph.params.values()].map(({ name, shape }) => {
      const scale = shape.length > 1 ? 1 / Math.sqrt(sizeOf(shape.slice(1))) : 1;
      const values = new Random(name).normals(sizeOf(shape)).map((x) => scale * x);
      return [name, float32(values, shape)] as const;
    });
    return Engine.create(serialize(graph), { inputs: Object.fromEntries(weights) }, slots);
  });
}

/** Writes a tiny model; the same seed writes the same bytes. Returns its path. */
export async function writeTinyModel(path: string, seed = 1, description = TINY_MODEL): Promise<string> {
  const { dit, vae, textEncoder, imageEncoder } = description;
  const random = new Random(seed);
  const chunk = { position: "next", numLatentFrames: 1, latentHeight: 2, latentWidth: 2 } as const;
  const ditParams = buildWanDiT(dit, { latentFrames: 1, latentHeight: 2, latentWidth: 2 }).params;
  const vaeParams = new Map([...buildVaeEncoder(vae, chunk).params, ...buildVaeDecoder(vae, chunk).params]);
  const parts = {
    dit: randomWeights(ditParams, random.fork("dit")),
    phase1: randomFinetuning(ditParams, random.fork("phase1")),
    phase2: randomFinetuning(ditParams, random.fork("phase2")),
    vae: randomWeights(vaeParams, random.fork("vae")),
    textEncoder: randomWeights(buildUmt5(textEncoder, { numTokens: 1 }).params, random.fork("text")),
    imageEncoder: randomWeights(buildClipVision(imageEncoder).params, random.fork("image")),
  };
  await mkdir(path, { recursive: true });
  for (const [part, weights] of Object.entries(parts)) {
    await writeSafetensors(join(path, MODEL_FILES[part as keyof typeof parts]), weights);
  }
  await writeFile(join(path, TOKENIZER_JSON), captionTokenizerJson());
  await writeFile(join(path, MODEL_JSON), `${JSON.stringify(description, null, 1)}\n`);
  return path;
}
