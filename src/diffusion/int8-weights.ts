/** Weights in int8 as a file, for denoisers that are too large to be rounded in memory: written one by one, mapped when used. */
import { dirname, join } from "node:path";
import { checkFreeSpace } from "../files/free-space.ts";
import { quantizedKeys, smoothingParams } from "../models/layers/int8-linears.ts";
import { quantizeWeight, quantizedScales } from "../models/layers/smooth-quant.ts";
import { type Checkpoint } from "../runtime/safetensors.ts";
import { type TensorSource, writeSafetensorsFrom } from "../runtime/safetensors-writer.ts";
import { type DType, type Tensor, bytesPerElement, sizeOf } from "../tensor/tensor.ts";
import { UserError } from "../tensor/errors.ts";
import { type Int8Group, groupMetadata, int8Path, readGroups } from "./int8-file.ts";
import { type ModelFolder } from "./model-folder.ts";

/** Name of the file, beside that of the calibration. */
export const INT8_WEIGHTS_FILE = "int8-weights.safetensors";

export async function int8WeightsPath(model: string): Promise<string> {
  return join(dirname(await int8Path(model)), INT8_WEIGHTS_FILE);
}

/** What a search was made for: a file of other settings is not gone on with. */
export type SearchSettings = Readonly<Record<string, number>>;

export interface WriteInt8WeightsOptions {
  /** See `weightsFingerprint`. */
  readonly fingerprint: string;
  readonly settings: SearchSettings;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: { readonly doneBytes: number; readonly totalBytes: number }) => void;
}

/**
 * Writes the weights of all groups in int8 with their smoothing, atomically. Memory holds one weight at a time, which is
 * read twice: for its scales, and for its values.
 * @throws UserError when the disk has no room, or a weight cannot be read
 */
export async function writeInt8Weights(
  path: string,
  base: Checkpoint,
  groups: readonly Int8Group[],
  { fingerprint, settings, signal, onProgress }: WriteInt8WeightsOptions,
): Promise<void> {
  const sources = new Map<string, TensorSource>();
  for (const group of groups) {
    for (const [key, value] of smoothingParams(group.name, group)) sources.set(key, held(value));
    for (const key of group.weights) {
      for (const [param, source] of weightSources(base, key, group)) sources.set(param, source);
    }
  }
  const totalBytes = [...sources.values()].reduce((sum, source) => sum + bytesOf(source), 0);
  await checkFreeSpace(path, totalBytes);
  let doneBytes = 0;
  const counted = [...sources].map(([name, source]) => {
    async function* pieces(): AsyncGenerator<Tensor> {
      for await (const piece of source.pieces()) {
        signal?.throwIfAborted();
        yield piece;
        doneBytes += bytesOf(source);
        onProgress?.({ doneBytes, totalBytes });
      }
    }
    return [name, { ...source, pieces }] as const;
  });
  await writeSafetensorsFrom(path, new Map(counted), {
    ...groupMetadata(groups, fingerprint),
    settings: JSON.stringify(settings),
  });
}

/** What is in a file of int8 weights. */
export interface Int8WeightsFile {
  readonly checkpoint: Checkpoint;
  /** Every group that can be int8. */
  readonly groups: readonly Int8Group[];
}

/** Weights that an earlier search has left whole, to go on from; null where there are none of this model and these settings. */
export async function findInt8Weights(
  model: ModelFolder,
  settings: SearchSettings,
): Promise<Int8WeightsFile | null> {
  const read = await readGroups(model, await int8WeightsPath(model.path)).catch((error: unknown) => {
    if (error instanceof UserError) return error.message;
    throw error;
  });
  if (typeof read === "string") return null;
  const { file: checkpoint, groups } = read;
  return checkpoint.metadata.get("settings") === JSON.stringify(settings) ? { checkpoint, groups } : null;
}

/**
 * Opens the weights that belong to a calibration.
 * @throws UserError when there are none, or they were rounded with another smoothing
 */
export async function openInt8Weights(model: ModelFolder, groups: readonly Int8Group[]): Promise<Checkpoint> {
  const path = await int8WeightsPath(model.path);
  const read = await readGroups(model, path);
  const command = `run \`posegen models calibrate ${model.path}\``;
  if (typeof read === "string") throw new UserError(`${read}; ${command} again`);
  const stored = new Map(read.groups.map((group) => [group.name, group]));
  for (const group of groups) {
    if (isSame(group, stored.get(group.name))) continue;
    throw new UserError(`${path} does not belong to the calibration beside it; ${command} again`);
  }
  return read.file;
}

function isSame(a: Int8Group, b: Int8Group | undefined): boolean {
  return (
    b !== undefined &&
    a.weights.join() === b.weights.join() &&
    a.zeroPoint === b.zeroPoint &&
    a.mean.every((x, i) => x === b.mean[i]) &&
    a.factors.every((x, i) => x === b.factors[i])
  );
}

/** What stands in the place of a weight [out, in], made of it when its turn comes. */
function weightSources(base: Checkpoint, key: string, group: Int8Group): Map<string, TensorSource> {
  const [out, width] = base.tensors.get(key)!.shape as [number, number];
  type Scales = ReturnType<typeof quantizedScales>;
  // Scale and offset are written one after the other, and made together.
  let scales: Promise<Scales> | null = null;
  async function* scale(part: keyof Scales): AsyncGenerator<Tensor> {
    scales ??= base.readFloat32(key).then((weight) => quantizedScales(weight, group));
    yield (await scales)[part];
  }
  async function* values(): AsyncGenerator<Tensor> {
    yield quantizeWeight(await base.readFloat32(key), group).values;
  }
  const keys = quantizedKeys(key);
  const column = { dtype: "float32", shape: [out] } as const;
  return new Map<string, TensorSource>([
    [keys.values, { dtype: "int8", shape: [width, out], pieces: values }],
    [keys.scale, { ...column, pieces: () => scale("scale") }],
    [keys.offset, { ...column, pieces: () => scale("offset") }],
  ]);
}

function held(tensor: Tensor): TensorSource {
  return { dtype: tensor.dtype, shape: tensor.shape, pieces: () => [tensor] };
}

function bytesOf({ dtype, shape }: { readonly dtype: DType; readonly shape: readonly number[] }): number {
  return bytesPerElement(dtype) * sizeOf(shape);
}
