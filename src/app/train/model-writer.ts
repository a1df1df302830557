/** Writes model folders: each part from weights in memory, or from a file as it is. */
import { constants, copyFile, mkdir, rm, symlink, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import {
  MODEL_FILES,
  MODEL_JSON,
  type ModelDescription,
  type ModelPart,
  TOKENIZER_JSON,
} from "../../diffusion/model-folder.ts";
import { CLIP_VISION_PREFIX } from "../../models/clip-vision/build.ts";
import { writeSafetensors } from "../../runtime/safetensors-writer.ts";
import { float32ToFloat16 } from "../../tensor/float16.ts";
import { type Tensor, float32 } from "../../tensor/tensor.ts";
import { MODEL_SCOPES } from "../../training/denoiser-loss.ts";
import type { Params } from "../../training/train.ts";

/** Makes the file of a part. */
export type PartWriter = (path: string) => Promise<void>;

export interface ModelFiles {
  readonly description: ModelDescription;
  readonly tokenizer: PartWriter;
  /** A part that is left out is not in the folder, which then serves only what needs no such part. */
  readonly parts: Readonly<Partial<Record<ModelPart, PartWriter>>>;
}

/** Writes a model folder; `model.json`, which makes it one, comes last. */
export async function writeModelFolder(
  folder: string,
  { description, tokenizer, parts }: ModelFiles,
): Promise<void> {
  await mkdir(folder, { recursive: true });
  for (const [part, write] of Object.entries(parts) as [ModelPart, PartWriter][]) {
    await write(join(folder, MODEL_FILES[part]));
  }
  await tokenizer(join(folder, TOKENIZER_JSON));
  await writeFile(join(folder, MODEL_JSON), `${JSON.stringify(description, null, 2)}\n`);
}

/** Weights as float16. */
export function halfPrecision(params: Params): PartWriter {
  return (path) => {
    const halves: Record<string, Tensor> = {};
    for (const [key, { shape, data }] of Object.entries(params)) {
      halves[key] = { dtype: "float16", shape, data: float32ToFloat16(data) };
    }
    return writeSafetensors(path, halves);
  };
}

/** A copy of a file, unless it is that file already. */
export function copyOf(file: string): PartWriter {
  return async (path) => {
    if (resolve(file) !== resolve(path)) await copyFile(file, path, constants.COPYFILE_FICLONE);
  };
}

/** A link to a file, for folders that are soon removed. */
export function linkTo(file: string): PartWriter {
  return async (path) => {
    await rm(path, { force: true });
    await symlink(resolve(file), path);
  };
}

/** A text file. */
export function textFile(text: string): PartWriter {
  return (path) => writeFile(path, text);
}

const LOW_RANK = /\.lora_[AB]\.weight$/;

/** The base model's part of weights in a training graph, with the keys of its file. */
export function baseWeights(params: Params, part: keyof typeof MODEL_SCOPES): Params {
  const prefix = part === "imageEncoder" ? `${CLIP_VISION_PREFIX}.` : "";
  const own = Object.entries(below(params, MODEL_SCOPES[part])).filter(([key]) => !LOW_RANK.test(key));
  return Object.fromEntries(own.map(([key, value]) => [prefix + key, value]));
}

/**
 * A finetuning as files hold it: low-rank pairs that count once, so that alpha / rank goes into B, and weights trained
 * as a whole.
 * @param params trained parameters, by their keys in the training graph
 */
export function finetuning(params: Params, { rank, alpha }: { rank: number; alpha: number }): Params {
  const scale = alpha / rank;
  return Object.fromEntries(
    Object.entries(below(params, MODEL_SCOPES.dit)).map(([key, value]) => [
      key,
      scale !== 1 && key.endsWith(".lora_B.weight")
        ? float32(
            value.data.map((x) => scale * x),
            value.shape,
          )
        : value,
    ]),
  );
}

/** Parameters below a scope, without it. */
function below(params: Params, scope: string): Params {
  const prefix = `${scope}.`;
  return Object.fromEntries(
    Object.entries(params).flatMap(([key, value]) =>
      key.startsWith(prefix) ? [[key.slice(prefix.length), value]] : [],
    ),
  );
}
