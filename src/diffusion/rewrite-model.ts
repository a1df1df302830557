/** Writes an opened model, whatever its layout, as a model folder with `model.json`. */
import { copyFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { checkFolderIsFree, writeFolderAtomically } from "../files/atomic-folder.ts";
import { checkFreeSpace } from "../files/free-space.ts";
import { blockWiseKeys } from "../models/layers/int8-linears.ts";
import {
  type LoraWeights,
  type WeightedLora,
  changes,
  mergeLoras,
  tensorsOf,
} from "../models/layers/lora-merge.ts";
import { type Checkpoint } from "../runtime/safetensors.ts";
import { type TensorSource, writeSafetensorsFrom } from "../runtime/safetensors-writer.ts";
import { readPieces } from "../runtime/tensor-pieces.ts";
import { type BlockBits, type BlockWise, BLOCK_SIZE, blockBytes, toBlocks } from "../tensor/block-wise.ts";
import { toFloat32 } from "../tensor/float16.ts";
import { type DType, type Tensor, bytesPerElement, sizeOf } from "../tensor/tensor.ts";
import { checkFits } from "./finetuned-weights.ts";
import { type Network } from "./layouts/weight-naming.ts";
import { type LoraChoice } from "./lora-choice.ts";
import { type LoraFile, openLora } from "./lora-file.ts";
import { loraTensors } from "./lora-writer.ts";
import {
  MODEL_FILES,
  MODEL_JSON,
  type ModelDescription,
  type ModelFolder,
  TOKENIZER_JSON,
} from "./model-folder.ts";
import { networkSpecs } from "./network-specs.ts";
import { type StoredPrecision, storedBits, storedDType, storeAs } from "./stored-precision.ts";

export interface RewriteOptions {
  /** Null: weights keep the types they have. */
  readonly precision: StoredPrecision | null;
  /** Further LoRAs over both phases, after those that the model has. */
  readonly loras: readonly LoraChoice[];
  /** Whether the LoRAs become part of the weights, or files of their own in the folder. */
  readonly isMerged: boolean;
  readonly onProgress?: (progress: { readonly writtenBytes: number; readonly totalBytes: number }) => void;
  readonly signal?: AbortSignal;
}

interface PlannedFile {
  readonly name: string;
  readonly numBytes: number;
  /** Read when the file's turn comes. */
  sources(): Promise<ReadonlyMap<string, TensorSource>>;
}

/**
 * Writes a model anew as one folder: the weights that the networks need and nothing else, a file for each part, tensor
 * by tensor. Memory holds pieces of a tensor, one denoiser matrix that a LoRA changes, and the LoRAs.
 *
 * The low-rank pairs of the phases stay pairs, because both phases rest on one base. Merging puts the other LoRAs into
 * that base, and into the layers that phases hold whole.
 * @throws UserError when a LoRA does not fit, `out` is taken, the disk has no room, or a value is too large for float16
 */
export async function rewriteModelFolder(
  model: ModelFolder,
  out: string,
  { precision, loras, isMerged, onProgress, signal }: RewriteOptions,
): Promise<void> {
  await checkFolderIsFree(out);
  const choices = [...model.loras, ...loras];
  const files = await openLoras(model, choices);
  const stack = isMerged ? await readLoras(files, choices) : [];
  const planned = [
    ...(await planNetworks(model, precision, stack)),
    ...(await planPhases(model, precision, stack)),
    ...(isMerged ? [] : files.map((file, i) => planLora(loraName(i), file, precision, []))),
  ];
  const totalBytes = planned.reduce((sum, { numBytes }) => sum + numBytes, 0);
  const { size: tokenizerBytes } = await stat(model.tokenizerPath);
  await checkFreeSpace(out, totalBytes + tokenizerBytes);
  let writtenBytes = 0;
  const count = (piece: Tensor): void => {
    signal?.throwIfAborted();
    writtenBytes += piece.data.byteLength;
    onProgress?.({ writtenBytes, totalBytes });
  };
  await writeFolderAtomically(out, async (folder) => {
    for (const { name, sources } of planned) {
      await writeSafetensorsFrom(join(folder, name), counted(await sources(), count));
    }
    await copyFile(model.tokenizerPath, join(folder, TOKENIZER_JSON));
    const description = descriptionOf(model.description, isMerged ? [] : choices);
    await writeFile(join(folder, MODEL_JSON), `${JSON.stringify(description, null, 1)}\n`);
  });
}

/** Name of a LoRA that is kept beside `model.json`. */
function loraName(index: number): string {
  return `lora-${index + 1}.safetensors`;
}

function descriptionOf(description: ModelDescription, kept: readonly LoraChoice[]): ModelDescription {
  const copy = { ...description };
  delete copy.loras;
  if (kept.length > 0) copy.loras = kept.map(({ weight }, i) => ({ file: loraName(i), weight }));
  return copy;
}

async function openLoras(model: ModelFolder, choices: readonly LoraChoice[]): Promise<LoraFile[]> {
  const specs = new Map(networkSpecs(model.description).dit.map((spec) => [spec.name, spec]));
  const files: LoraFile[] = [];
  for (const { path } of choices) {
    const file = await openLora(path);
    checkFits(file, specs);
    files.push(file);
  }
  return files;
}

async function readLoras(
  files: readonly LoraFile[],
  choices: readonly LoraChoice[],
): Promise<WeightedLora[]> {
  const stack: WeightedLora[] = [];
  for (const [i, file] of files.entries()) {
    stack.push({ lora: await file.readFloat32(), weight: choices[i]!.weight });
  }
  return stack;
}

/** Base of the denoiser, VAE and encoders. What both phases hold whole, the base need not have. */
async function planNetworks(
  model: ModelFolder,
  precision: StoredPrecision | null,
  stack: readonly WeightedLora[],
): Promise<PlannedFile[]> {
  const planned: PlannedFile[] = [];
  for (const [network, specs] of Object.entries(networkSpecs(model.description))) {
    const checkpoint = await model.open(network as Network);
    const over = network === "dit" ? stack : [];
    const keys = specs.map(({ name }) => name).filter((key) => checkpoint.tensors.has(key));
    const sources = new Map(
      keys.flatMap((key) => {
        const bits = network === "dit" ? storedBits(key, checkpoint.tensors.get(key)!, precision) : null;
        return bits === null
          ? [[key, sourceOf(checkpoint, key, precision, over)] as const]
          : blockSources(checkpoint, key, bits, over);
      }),
    );
    planned.push({
      name: MODEL_FILES[network as Network],
      numBytes: bytesOf(sources.values()),
      sources: async () => sources,
    });
  }
  return planned;
}

function sourceOf(
  checkpoint: Checkpoint,
  key: string,
  precision: StoredPrecision | null,
  stack: readonly WeightedLora[],
): TensorSource {
  const entry = checkpoint.tensors.get(key)!;
  const dtype = storedDType(entry, precision);
  const name = `${checkpoint.path}: tensor "${key}"`;
  const isChanged = stack.some(({ lora }) => changes(lora, key));
  const { shape } = entry;
  async function* pieces(): AsyncGenerator<Tensor> {
    if (isChanged) {
      yield storeAs(mergeLoras(key, await checkpoint.readFloat32(key), stack), dtype, name);
      return;
    }
    for await (const piece of readPieces(checkpoint, key)) yield storeAs(piece, dtype, name);
  }
  return { dtype, shape, pieces };
}

/** A weight as values and scales of its blocks; each is made of the whole weight when its turn comes. */
function blockSources(
  checkpoint: Checkpoint,
  key: string,
  bits: BlockBits,
  stack: readonly WeightedLora[],
): (readonly [string, TensorSource])[] {
  const weight = sourceOf(checkpoint, key, "f32", stack);
  const [out, width] = weight.shape as [number, number];
  const numBlocks = width / BLOCK_SIZE;
  const keys = blockWiseKeys(key, bits);
  async function* pieces(part: keyof BlockWise): AsyncGenerator<Tensor> {
    // A piece holds whole blocks: its length is a power of 2, and so is that of a block.
    for await (const { data } of weight.pieces()) yield toBlocks(data as Float32Array, bits)[part];
  }
  const values = { dtype: "uint8", shape: [out, numBlocks, blockBytes(bits)] } as const;
  const scale = { dtype: "float32", shape: [out, numBlocks] } as const;
  return [
    [keys.values, { ...values, pieces: () => pieces("values") }],
    [keys.scale, { ...scale, pieces: () => pieces("scale") }],
  ];
}

async function planPhases(
  model: ModelFolder,
  precision: StoredPrecision | null,
  stack: readonly WeightedLora[],
): Promise<PlannedFile[]> {
  const planned: PlannedFile[] = [];
  for (const phase of ["phase1", "phase2"] as const) {
    planned.push(planLora(MODEL_FILES[phase], await model.openPhase(phase), precision, stack));
  }
  return planned;
}

/** @param stack merged into what the LoRA holds whole */
function planLora(
  name: string,
  file: LoraFile,
  precision: StoredPrecision | null,
  stack: readonly WeightedLora[],
): PlannedFile {
  const tensors = tensorsOf(file);
  return {
    name,
    numBytes: bytesOf(
      tensors.map(({ dtype, shape }) => ({ shape, dtype: storedDType({ dtype, shape }, precision) })),
    ),
    async sources() {
      const stored = await file.readStored();
      const named = [...loraTensors(withLoras(stored, stack, file.path), "posegen")];
      return new Map(
        named.map(([key, tensor]) => {
          const dtype = storedDType(tensor, precision);
          const pieces = (): Tensor[] => [storeAs(tensor, dtype, `${file.path}: tensor "${key}"`)];
          return [key, { dtype, shape: tensor.shape, pieces }] as const;
        }),
      );
    },
  };
}

/** A finetuning with LoRAs in what it holds whole. Its pairs and theirs add up over the base. */
function withLoras(
  { pairs, whole, diffs }: LoraWeights<Tensor>,
  stack: readonly WeightedLora[],
  path: string,
): LoraWeights<Tensor> {
  const isChanged = (key: string): boolean => stack.some(({ lora }) => changes(lora, key));
  const merge = (key: string, tensor: Tensor): Tensor => {
    if (!isChanged(key)) return tensor;
    const name = `${path}: tensor for "${key}"`;
    return storeAs(mergeLoras(key, toFloat32(tensor, name), stack), tensor.dtype, name);
  };
  return { pairs, whole: new Map([...whole].map(([key, tensor]) => [key, merge(key, tensor)])), diffs };
}

function bytesOf(tensors: Iterable<{ readonly dtype: DType; readonly shape: readonly number[] }>): number {
  return [...tensors].reduce((sum, { dtype, shape }) => sum + bytesPerElement(dtype) * sizeOf(shape), 0);
}

/** Sources that tell of every piece before it is written. */
function counted(
  sources: ReadonlyMap<string, TensorSource>,
  count: (piece: Tensor) => void,
): Map<string, TensorSource> {
  return new Map(
    [...sources].map(([name, source]) => {
      async function* pieces(): AsyncGenerator<Tensor> {
        for await (const piece of source.pieces()) {
          count(piece);
          yield piece;
        }
      }
      return [name, { ...source, pieces }] as const;
    }),
  );
}
