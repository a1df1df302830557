import { UserError, invariant } from "../tensor/errors.ts";
import { toFloat32 } from "../tensor/float16.ts";
import { type Tensor, sizeOf, zeros } from "../tensor/tensor.ts";
import { quote } from "./quote.ts";
import type { Checkpoint, TensorEntry } from "./tensor-file.ts";

/** A tensor by other names than its own. */
export interface TensorSource {
  /** Names of the tensors that make it, one behind the other along the first axis; mostly one. */
  readonly names: readonly string[];
  /** Axes it has here: axes of length 1 are put before those it is stored with. */
  readonly rank?: number | undefined;
}

/**
 * A checkpoint under other names, with no bytes moved. Tensors that no name leads to are left out.
 * @param sources by the new name
 * @throws UserError when parts of one tensor differ in type or shape behind the first axis
 */
export function mapCheckpoint(
  checkpoint: Checkpoint,
  sources: ReadonlyMap<string, TensorSource>,
): Checkpoint {
  const { path, metadata } = checkpoint;
  const tensors = new Map<string, TensorEntry>();
  for (const [name, { names, rank }] of sources) {
    const parts = names.map((part) => checkpoint.tensors.get(part)!);
    tensors.set(name, withRank(parts.length === 1 ? parts[0]! : joined(path, name, parts), rank));
  }
  const readTensor = async (name: string): Promise<Tensor> => {
    const entry = tensors.get(name);
    if (entry === undefined) throw new UserError(`${path} has no tensor ${quote(name)}`);
    const { names } = sources.get(name)!;
    if (names.length === 1) return { ...(await checkpoint.readTensor(names[0]!)), shape: entry.shape };
    const result = zeros(entry.shape, entry.dtype);
    const bytes = new Uint8Array(result.data.buffer);
    let done = 0;
    for (const part of names) {
      const { data } = await checkpoint.readTensor(part);
      bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), done);
      done += data.byteLength;
    }
    return result;
  };
  const readFloat32 = async (name: string): Promise<Tensor<"float32">> =>
    toFloat32(await readTensor(name), `${path}: tensor ${quote(name)}`);
  return { path, tensors, metadata, readTensor, readFloat32 };
}

/** The tensors whose names begin with `prefix`, with `other` in its place; no bytes are moved. */
export function replacePrefix(checkpoint: Checkpoint, prefix: string, other: string): Checkpoint {
  const own = [...checkpoint.tensors.keys()].filter((name) => name.startsWith(prefix));
  const renamed = (name: string): string => other + name.slice(prefix.length);
  return mapCheckpoint(checkpoint, new Map(own.map((name) => [renamed(name), { names: [name] }])));
}

/** Several checkpoints as one; the first that has a name goes before the others. */
export function overlayCheckpoints(checkpoints: readonly Checkpoint[]): Checkpoint {
  const [first] = checkpoints;
  invariant(first, "there is at least one checkpoint");
  const holder = new Map<string, Checkpoint>();
  for (const checkpoint of checkpoints) {
    for (const name of checkpoint.tensors.keys()) {
      if (!holder.has(name)) holder.set(name, checkpoint);
    }
  }
  const holderOf = (name: string): Checkpoint => holder.get(name) ?? first;
  return {
    path: first.path,
    metadata: first.metadata,
    tensors: new Map([...holder].map(([name, { tensors }]) => [name, tensors.get(name)!])),
    readTensor: async (name) => holderOf(name).readTensor(name),
    readFloat32: async (name) => holderOf(name).readFloat32(name),
  };
}

function withRank(entry: TensorEntry, rank = entry.shape.length): TensorEntry {
  const missing = rank - entry.shape.length;
  if (missing <= 0) return entry;
  const { strides, ...rest } = entry;
  const ones = new Array<number>(missing).fill(1);
  return {
    ...rest,
    shape: [...ones, ...entry.shape],
    ...(strides && { strides: [...ones, ...strides] }),
  };
}

function joined(path: string, name: string, parts: readonly TensorEntry[]): TensorEntry {
  const [first] = parts as [TensorEntry, ...TensorEntry[]];
  const rest = first.shape.slice(1);
  for (const { dtype, shape } of parts) {
    if (shape.length > 0 && dtype === first.dtype && shape.slice(1).join() === rest.join()) continue;
    throw new UserError(`${path}: the parts of ${quote(name)} differ in type or shape`);
  }
  const shape = [parts.reduce((sum, part) => sum + part.shape[0]!, 0), ...rest];
  const byteLength = (first.byteLength / Math.max(sizeOf(first.shape), 1)) * sizeOf(shape);
  const { file, byteOffset, dtype } = first;
  return { file, byteOffset, dtype, shape, byteLength, parts };
}
