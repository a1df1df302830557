/** Tensors at positions of one file: its directory when opened, each tensor's own bytes when asked for. */
import { open, stat, type FileHandle } from "node:fs/promises";
import type { BlockBits } from "../tensor/block-wise.ts";
import { UserError } from "../tensor/errors.ts";
import { toFloat32 } from "../tensor/float16.ts";
import { bytesPerElement, sizeOf, type DType, type Tensor, zeros } from "../tensor/tensor.ts";
import { printable, quote } from "./quote.ts";

/** Where one tensor lies. */
export interface TensorEntry {
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** File that holds the tensor. */
  readonly file: string;
  /** Position of the first element, from the start of `file`. */
  readonly byteOffset: number;
  /** Bytes of all elements. */
  readonly byteLength: number;
  /** Steps between elements along each axis, in elements; absent where they lie densely in row-major order. */
  readonly strides?: readonly number[];
  /** Tensors that make this one, one behind the other along the first axis; absent where it has a place of its own. */
  readonly parts?: readonly TensorEntry[];
  /** Where it lies in blocks of fewer bits; absent elsewhere. `byteLength` is that of both. */
  readonly blocks?: { readonly bits: BlockBits; readonly values: TensorEntry; readonly scale: TensorEntry };
}

/** Whether all bytes of a tensor lie at its place, in row-major order: what can be mapped into memory as it is. */
export function isDense({ strides, parts, blocks }: TensorEntry): boolean {
  return strides === undefined && parts === undefined && blocks === undefined;
}

/** Named tensors on disk. Nothing stays open between reads, so there is nothing to close. */
export interface Checkpoint {
  /** The file or directory that was opened. */
  readonly path: string;
  /** Every tensor, in the order of its file's directory. */
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  /** What the file says about itself; of safetensors files, the `__metadata__` entries. */
  readonly metadata: ReadonlyMap<string, string>;
  /** Reads one tensor. Throws a UserError when the name is missing or the file has changed. */
  readTensor(name: string): Promise<Tensor>;
  /** Reads one float32, float16 or bfloat16 tensor as float32. Throws a UserError for other types. */
  readFloat32(name: string): Promise<Tensor<"float32">>;
}

/** All tensors of a checkpoint as float32. */
export async function readTensors(file: Checkpoint): Promise<Record<string, Tensor<"float32">>> {
  const weights: Record<string, Tensor<"float32">> = {};
  for (const key of file.tensors.keys()) weights[key] = await file.readFloat32(key);
  return weights;
}

/** What a file holds: checked against the file's length, but for the tensors' own bytes. */
export interface TensorDirectory {
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  readonly metadata: ReadonlyMap<string, string>;
}

/** A file that is open for reading. */
export interface OpenFile {
  readonly path: string;
  readonly byteLength: number;
  /** Reads a part that lies within the file. @throws UserError when the file has become shorter */
  read(position: number, length: number): Promise<Uint8Array>;
}

/**
 * Opens a file of tensors.
 * @param readDirectory finds out what the file holds
 * @throws UserError when it is missing or no regular file (devices and pipes could block), when a name holds control
 *   characters, or as `readDirectory` does
 */
export async function openTensorFile(
  path: string,
  readDirectory: (file: OpenFile) => Promise<TensorDirectory>,
): Promise<Checkpoint> {
  const [{ tensors, metadata }, opened] = await withFile(path, async (handle) => {
    const stats = await handle.stat();
    const file: OpenFile = {
      path,
      byteLength: stats.size,
      read: async (position, length) => {
        const bytes = new Uint8Array(length);
        await readFully(path, handle, bytes, position);
        return bytes;
      },
    };
    const directory = await readDirectory(file);
    for (const name of directory.tensors.keys()) checkName(path, name);
    return [directory, stats] as const;
  });

  const readTensor = async (name: string): Promise<Tensor> => {
    const entry = tensors.get(name);
    if (entry === undefined) throw new UserError(`${path} has no tensor ${quote(name)}`);
    return withFile(path, async (handle) => {
      const now = await handle.stat();
      if (now.size !== opened.size || now.mtimeMs !== opened.mtimeMs) {
        throw new UserError(`${path} has changed since it was opened; run the command again`);
      }
      return readEntry(name, entry, handle);
    });
  };
  const readFloat32 = async (name: string): Promise<Tensor<"float32">> =>
    toFloat32(await readTensor(name), `${path}: tensor ${quote(name)}`);

  return { path, tensors, metadata, readTensor, readFloat32 };
}

/** Names are shown as they are, in lists and messages. */
function checkName(path: string, name: string): void {
  if (printable(name) === name) return;
  throw new UserError(`${path} names a tensor ${quote(name)}; expected a name without control characters`);
}

async function withFile<T>(path: string, use: (handle: FileHandle) => Promise<T>): Promise<T> {
  const found = await stat(path).catch((cause: Error) => {
    throw new UserError(`cannot open ${path}: ${cause.message}`, { cause });
  });
  if (!found.isFile()) throw new UserError(`${path} is not a file; expected a file of tensors`);
  const handle = await open(path, "r").catch((cause: Error) => {
    throw new UserError(`cannot open ${path}: ${cause.message}`, { cause });
  });
  try {
    return await use(handle);
  } finally {
    await handle.close();
  }
}

async function readEntry(name: string, entry: TensorEntry, handle: FileHandle): Promise<Tensor> {
  const result = zeros(entry.shape, entry.dtype);
  const bytes = new Uint8Array(result.data.buffer);
  if (entry.strides === undefined) await readFully(entry.file, handle, bytes, entry.byteOffset);
  else await readStrided(entry, entry.strides, handle, bytes);
  if (entry.dtype === "bool" && bytes.some((byte) => byte > 1)) {
    throw new UserError(`${entry.file}: tensor ${quote(name)} is BOOL but holds bytes other than 0 and 1`);
  }
  return result;
}

/** Reads from the first to the last element at once, and sorts the elements into row-major order. */
async function readStrided(
  { file, dtype, shape, byteOffset }: TensorEntry,
  strides: readonly number[],
  handle: FileHandle,
  into: Uint8Array,
): Promise<void> {
  const count = sizeOf(shape);
  if (count === 0) return;
  const size = bytesPerElement(dtype);
  const source = new Uint8Array(size * spanOf(shape, strides));
  await readFully(file, handle, source, byteOffset);
  const index = shape.map(() => 0);
  let from = 0;
  for (let element = 0; element < count; element++) {
    for (let byte = 0; byte < size; byte++) into[element * size + byte] = source[from * size + byte]!;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      from += strides[axis]!;
      if (++index[axis]! < shape[axis]!) break;
      from -= strides[axis]! * shape[axis]!;
      index[axis] = 0;
    }
  }
}

/** Elements from the first to the last of a tensor that is not empty, those between that are not its own included. */
export function spanOf(shape: readonly number[], strides: readonly number[]): number {
  return shape.reduce((span, dim, axis) => span + (dim - 1) * strides[axis]!, 1);
}

/** One system call reads at most 2 GiB; larger tensors take several. */
const READ_BYTES = 1 << 28;

async function readFully(
  path: string,
  handle: FileHandle,
  into: Uint8Array,
  position: number,
): Promise<void> {
  for (let done = 0; done < into.byteLength;) {
    const length = Math.min(READ_BYTES, into.byteLength - done);
    const { bytesRead } = await handle.read(into, done, length, position + done);
    if (bytesRead === 0) throw new UserError(`${path} became shorter while it was read`);
    done += bytesRead;
  }
}
