/** LoRA files of any naming: a safetensors file, or a folder as PEFT writes it. */
import { readFile, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import {
  type LoraPair,
  type LoraWeights,
  checkPair,
  readAlpha,
  tensorsOf,
} from "../models/layers/lora-merge.ts";
import { type LoraNames, type LoraNaming, readLoraNames } from "../models/layers/lora-naming.ts";
import { openCheckpoint } from "../runtime/checkpoint.ts";
import { type Checkpoint, type TensorEntry } from "../runtime/safetensors.ts";
import { parseStrictJson } from "../runtime/strict-json.ts";
import { UserError } from "../tensor/errors.ts";
import { toFloat32 } from "../tensor/float16.ts";
import { type Tensor } from "../tensor/tensor.ts";
import { type PeftConfig, parsePeftConfig, peftScale } from "./peft-config.ts";

export const ADAPTER_CONFIG = "adapter_config.json";
export const ADAPTER_MODEL = "adapter_model.safetensors";

/** An opened LoRA: the places and shapes of its tensors, none of which has been read yet. */
export interface LoraFile extends LoraWeights<TensorEntry> {
  /** The file or folder that was given. */
  readonly path: string;
  /** The files that determine what it does. */
  readonly files: readonly string[];
  readonly naming: LoraNaming;
  /** Reads the tensors in the types that they have in the file. */
  readStored(): Promise<LoraWeights<Tensor>>;
  readFloat32(): Promise<LoraWeights>;
}

/**
 * Opens a LoRA and checks that its pairs are whole and fit together. Scales follow the rule of its naming (see
 * `LORA_NAMINGS`): `adapter_config.json` in PEFT's, an alpha tensor over the rank in the others, 1 without either.
 * @param path a safetensors file, or a PEFT folder
 * @throws UserError when it is missing or malformed, or not a LoRA
 */
export async function openLora(path: string): Promise<LoraFile> {
  const { model, config } = await locate(path);
  const file = await loraFrom(await openCheckpoint(model), path, config);
  if (tensorsOf(file).length === 0) throw new UserError(`${path} holds no tensors`);
  return file;
}

/**
 * A LoRA of the tensors of a checkpoint; without any it changes nothing, as a phase that has not been trained.
 * @param config where PEFT's configuration would lie
 * @throws UserError as `openLora`
 */
export async function loraFrom(
  checkpoint: Checkpoint,
  path: string,
  config = join(dirname(path), ADAPTER_CONFIG),
): Promise<LoraFile> {
  const names = readLoraNames(checkpoint.tensors.keys(), path);
  const peft = names.naming === "peft" ? await readPeftConfig(config, path) : null;
  const pairs = await openPairs(checkpoint, names, path, peft && { config: peft, path: config });
  const entries = (of: ReadonlyMap<string, string>) =>
    new Map([...of].map(([key, name]) => [key, checkpoint.tensors.get(name)!]));
  const read = async (of: ReadonlyMap<string, string>): Promise<Map<string, Tensor>> => {
    const tensors = new Map<string, Tensor>();
    for (const [key, name] of of) tensors.set(key, await checkpoint.readTensor(name));
    return tensors;
  };
  const readStored = async (): Promise<LoraWeights<Tensor>> => {
    const stored = new Map<string, LoraPair<Tensor>>();
    for (const [key, { a, b }] of names.pairs) {
      const { scale } = pairs.get(key)!;
      stored.set(key, { a: await checkpoint.readTensor(a), b: await checkpoint.readTensor(b), scale });
    }
    return { pairs: stored, whole: await read(names.whole), diffs: await read(names.diffs) };
  };
  const tensorFiles = new Set([...checkpoint.tensors.values()].map(({ file }) => file));
  return {
    path,
    files: [...tensorFiles, ...(peft ? [config] : [])],
    naming: names.naming,
    pairs,
    whole: entries(names.whole),
    diffs: entries(names.diffs),
    readStored,
    readFloat32: async () => widen(await readStored(), path),
  };
}

/** The files of a LoRA: tensors, and where PEFT's configuration would lie. */
async function locate(path: string): Promise<{ model: string; config: string }> {
  const isFolder = (await stat(path).catch(() => null))?.isDirectory() ?? false;
  if (!isFolder) return { model: path, config: join(dirname(path), ADAPTER_CONFIG) };
  const config = join(path, ADAPTER_CONFIG);
  const isAdapter = (await stat(config).catch(() => null)) !== null;
  return { model: isAdapter ? join(path, ADAPTER_MODEL) : path, config };
}

/** Largest configuration read: one path and pattern for every layer stay far below. */
const MAX_CONFIG_BYTES = 1 << 22;

async function readPeftConfig(file: string, path: string): Promise<PeftConfig> {
  const found = await stat(file).catch((cause: Error) => {
    throw new UserError(
      `${path} is named as PEFT names it, and its scale stands in ${ADAPTER_CONFIG}: cannot open ${file} (${cause.message})`,
      { cause },
    );
  });
  if (!found.isFile() || found.size > MAX_CONFIG_BYTES) {
    throw new UserError(`${file} is no file of at most ${MAX_CONFIG_BYTES} bytes`);
  }
  const text = await readFile(file, "utf8");
  try {
    return parsePeftConfig(parseStrictJson(text, 8), file);
  } catch (cause) {
    if (cause instanceof UserError) throw cause;
    throw new UserError(`${file} is not JSON: ${(cause as Error).message}`, { cause });
  }
}

async function openPairs(
  checkpoint: Checkpoint,
  { pairs }: LoraNames,
  path: string,
  peft: { readonly config: PeftConfig; readonly path: string } | null,
): Promise<Map<string, LoraPair<TensorEntry>>> {
  const opened = new Map<string, LoraPair<TensorEntry>>();
  for (const [key, { a, b, alpha }] of pairs) {
    const pair = { a: checkpoint.tensors.get(a)!, b: checkpoint.tensors.get(b)! };
    const rank = checkPair(key, pair, path);
    const scale = peft ? peftScale(peft.config, key, rank, peft.path) : undefined;
    opened.set(key, { ...pair, scale: scale ?? (await alphaOf(checkpoint, alpha, key, path, rank)) / rank });
  }
  return opened;
}

/** The value of an alpha tensor; the rank where there is none, which makes the scale 1. */
async function alphaOf(
  checkpoint: Checkpoint,
  name: string | null,
  key: string,
  path: string,
  rank: number,
): Promise<number> {
  if (name === null) return rank;
  // Looked at before it is read: a wrong shape may be of any size.
  const { shape } = checkpoint.tensors.get(name)!;
  if (shape.some((size) => size !== 1)) {
    throw new UserError(
      `${path} has an alpha for ${key} of shape [${shape.join(", ")}]; expected one number`,
    );
  }
  return readAlpha(await checkpoint.readTensor(name), key, path);
}

function widen({ pairs, whole, diffs }: LoraWeights<Tensor>, path: string): LoraWeights {
  const wide = (key: string, tensor: Tensor) => toFloat32(tensor, `${path}: tensor for "${key}"`);
  const allWide = (tensors: ReadonlyMap<string, Tensor>) =>
    new Map([...tensors].map(([key, tensor]) => [key, wide(key, tensor)]));
  return {
    pairs: new Map(
      [...pairs].map(([key, { a, b, scale }]) => [key, { a: wide(key, a), b: wide(key, b), scale }]),
    ),
    whole: allWide(whole),
    diffs: allWide(diffs),
  };
}
