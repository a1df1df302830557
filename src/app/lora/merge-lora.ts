import { parseLoraChoice } from "../../diffusion/lora-choice.ts";
import { type LoraFile, openLora } from "../../diffusion/lora-file.ts";
import { type WeightedLora, changes, mergeLoras } from "../../models/layers/lora-merge.ts";
import { openCheckpoint } from "../../runtime/checkpoint.ts";
import { type Checkpoint } from "../../runtime/safetensors.ts";
import { type TensorSource, writeSafetensorsFrom } from "../../runtime/safetensors-writer.ts";
import { UserError, invariant } from "../../tensor/errors.ts";
import { type FloatDType, fromFloat32, isFloatDType, toFloat32 } from "../../tensor/float16.ts";
import { type Tensor } from "../../tensor/tensor.ts";
import { checkNotAmong } from "./output.ts";

export interface MergeRequest {
  /** Checkpoint of the denoiser: a file, or a folder of shards. */
  readonly base: string;
  /** "FILE" or "FILE:WEIGHT" each. */
  readonly loras: readonly string[];
  readonly out: string;
  /** Type of floating-point weights; by default that of the base. */
  readonly dtype?: string | undefined;
}

/**
 * Writes a base with LoRAs merged into it in order, one weight in memory at a time. Layers that a LoRA holds whole may
 * be new to the base.
 * @returns what was written
 * @throws UserError for malformed files, and where a LoRA does not fit the base
 */
export async function mergeLoraFiles({ base, loras, out, dtype }: MergeRequest): Promise<string> {
  if (dtype !== undefined && !isFloatDType(dtype)) {
    throw new UserError(`dtype: got "${dtype}"; expected float32, float16 or bfloat16`);
  }
  const checkpoint = await openCheckpoint(base);
  const files: LoraFile[] = [];
  const stack: WeightedLora[] = [];
  for (const text of loras) {
    const { path, weight } = parseLoraChoice(text);
    const file = await openLora(path);
    checkFits(file, weight, checkpoint);
    files.push(file);
    stack.push({ lora: await file.readFloat32(), weight });
  }
  const baseFiles = new Set([...checkpoint.tensors.values()].map(({ file }) => file));
  await checkNotAmong(out, [...baseFiles, ...files.flatMap((file) => file.files)]);
  const sources = new Map<string, TensorSource>();
  const keys = new Set([...checkpoint.tensors.keys(), ...files.flatMap(({ whole }) => [...whole.keys()])]);
  for (const key of keys) sources.set(key, sourceOf(key, checkpoint, files, stack, dtype));
  await writeSafetensorsFrom(out, sources, Object.fromEntries(checkpoint.metadata));
  return out;
}

/** @throws UserError when a LoRA changes what the base does not have, or in another shape */
function checkFits({ path, pairs, whole, diffs }: LoraFile, weight: number, base: Checkpoint): void {
  const changed = [
    ...[...pairs].map(([key, { a, b }]) => ({ key, shape: [b.shape[0]!, a.shape[1]!], mayBeNew: false })),
    ...[...whole].map(([key, { shape }]) => ({ key, shape, mayBeNew: weight === 1 })),
    ...[...diffs].map(([key, { shape }]) => ({ key, shape, mayBeNew: false })),
  ];
  for (const { key, shape, mayBeNew } of changed) {
    const entry = base.tensors.get(key);
    if (!entry && !mayBeNew) {
      throw new UserError(
        `${path} changes "${key}", which ${base.path} does not have; it may belong to another model`,
      );
    }
    if (entry && entry.shape.join() !== shape.join()) {
      throw new UserError(
        `${path} changes "${key}" as [${shape.join(", ")}]; ${base.path} has [${entry.shape.join(", ")}]`,
      );
    }
  }
}

function sourceOf(
  key: string,
  base: Checkpoint,
  files: readonly LoraFile[],
  stack: readonly WeightedLora[],
  dtype: FloatDType | undefined,
): TensorSource {
  const entry = base.tensors.get(key) ?? files.find(({ whole }) => whole.has(key))!.whole.get(key)!;
  const isChanged = files.some((file) => changes(file, key));
  const stored = isFloatDType(entry.dtype) ? (dtype ?? entry.dtype) : entry.dtype;
  const start = async (): Promise<Tensor> =>
    base.tensors.has(key)
      ? base.readTensor(key)
      : stack.find(({ lora }) => lora.whole.has(key))!.lora.whole.get(key)!;
  return {
    dtype: stored,
    shape: entry.shape,
    async *pieces() {
      const from = await start();
      if (!isChanged && from.dtype === stored) {
        yield from;
        return;
      }
      const wide = toFloat32(from, `${base.path}: tensor "${key}"`);
      invariant(isFloatDType(stored), "what can be widened is stored as a float");
      yield fromFloat32(mergeLoras(key, wide, stack), stored);
    },
  };
}
