/** The parts of a model folder that a training of the denoiser has made or started from. */
import { join } from "node:path";
import { MODEL_FILES, type ModelPart, TOKENIZER_JSON } from "../../diffusion/model-folder.ts";
import { type Checkpoint, readTensors } from "../../runtime/tensor-file.ts";
import { captionTokenizerJson } from "../../training/tokenizer.ts";
import type { Params } from "../../training/train.ts";
import { VAE_WEIGHTS } from "../../training/vae-train.ts";
import type { DenoiserConfig } from "./config.ts";
import type { DenoiserSetup } from "./denoiser-setup.ts";
import { describeModel } from "./describe-model.ts";
import { type ModelSource } from "./model-source.ts";
import {
  type ModelFiles,
  type PartWriter,
  baseWeights,
  finetuning,
  halfPrecision,
  textFile,
} from "./model-writer.ts";
import { isModelFolder, openVaeFiles } from "./trained-vae.ts";

/** Puts a file that stays as it is into the folder: copies it, or links to it. */
export type TakeFile = (file: string) => PartWriter;

/** Networks whose weights a base training makes. */
export const BASE_PARTS = ["dit", "textEncoder", "imageEncoder"] as const;

/** Parts of the base model, from weights in a training graph. */
export function baseParts(params: Params): Partial<Record<ModelPart, PartWriter>> {
  return Object.fromEntries(BASE_PARTS.map((part) => [part, halfPrecision(baseWeights(params, part))]));
}

/** A phase's file; a base that has not been finetuned changes nothing. */
export function phasePart(params: Params | null, lora: { rank: number; alpha: number } | null): PartWriter {
  return halfPrecision(params && lora ? finetuning(params, lora) : {});
}

/** The tokenizer of a model source. */
export function tokenizerPart({ folder }: ModelSource, take: TakeFile): PartWriter {
  return folder ? take(join(folder.path, TOKENIZER_JSON)) : textFile(captionTokenizerJson());
}

/** The VAE of a folder of either kind. */
export async function vaePart(folder: string, take: TakeFile): Promise<PartWriter> {
  return take(join(folder, (await isModelFolder(folder)) ? MODEL_FILES.vae : VAE_WEIGHTS));
}

/**
 * A whole model from one training: the phase that it trains, over the base it starts from, unless that is left in the
 * files of the model folder.
 * @param trained the parameters that it trains
 */
export async function denoiserFiles(
  config: DenoiserConfig,
  setup: DenoiserSetup,
  trained: Params,
  take: TakeFile,
): Promise<ModelFiles> {
  const { source, vae, width, height, index, run } = setup;
  const fps = config.generation.fps ?? index!.fps;
  const phase = phasePart(run.lora ? trained : null, run.lora);
  return {
    description: describeModel({
      name: "sample",
      source,
      vae: (await openVaeFiles(vae)).config,
      size: { width, height, fps },
      config,
    }),
    tokenizer: tokenizerPart(source, take),
    parts: { ...baseOf(setup, trained), vae: await vaePart(vae, take), phase1: phase, phase2: phase },
  };
}

function baseOf({ run, initial, encoders }: DenoiserSetup, trained: Params) {
  if (run.frozen) return {};
  if (!encoders) return baseParts(trained);
  const stored =
    (weights: Checkpoint): PartWriter =>
    async (path) =>
      halfPrecision(await readTensors(weights))(path);
  return {
    dit: halfPrecision(baseWeights(initial, "dit")),
    textEncoder: stored(encoders.textEncoder),
    imageEncoder: stored(encoders.imageEncoder),
  };
}
