/** Reads safetensors files: the header when opened, each tensor's own bytes when asked for. */
import { open, stat, type FileHandle } from "node:fs/promises";
import { UserError } from "../tensor/errors.ts";
import { toFloat32 } from "../tensor/float16.ts";
import { zeros, type Tensor } from "../tensor/tensor.ts";
import { MAX_HEADER_BYTES, parseHeader, type Header, type TensorEntry } from "./safetensors-header.ts";

export type { TensorEntry } from "./safetensors-header.ts";

/** Named tensors on disk. Nothing stays open between reads, so there is nothing to close. */
export interface Checkpoint {
  /** The file or directory that was opened. */
  readonly path: string;
  /** Every tensor, in the order of its file's header. */
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  /** The `__metadata__` entries. */
  readonly metadata: ReadonlyMap<string, string>;
  /** Reads one tensor. Throws a UserError when the name is missing or the file has changed. */
  readTensor(name: string): Promise<Tensor>;
  /** Reads one float32, float16 or bfloat16 tensor as float32. Throws a UserError for other types. */
  readFloat32(name: string): Promise<Tensor<"float32">>;
}

/**
 * Opens one safetensors file and checks its whole header.
 * @throws UserError when it is missing, empty, truncated or malformed in any way
 */
export async function openSafetensors(path: string): Promise<Checkpoint> {
  const [{ tensors, metadata }, opened] = await withFile(path, async (handle) => {
    const stats = await handle.stat();
    return [await readHeader(path, handle, stats.size), stats] as const;
  });

  const readTensor = async (name: string): Promise<Tensor> => {
    const entry = tensors.get(name);
    if (entry === undefined) throw new UserError(`${path} has no tensor "${name}"`);
    return withFile(path, async (handle) => {
      const now = await handle.stat();
      if (now.size !== opened.size || now.mtimeMs !== opened.mtimeMs) {
        throw new UserError(`${path} has changed since it was opened; run the command again`);
      }
      return readEntry(name, entry, handle);
    });
  };
  const readFloat32 = async (name: string): Promise<Tensor<"float32">> =>
    toFloat32(await readTensor(name), `${path}: tensor "${name}"`);

  return { path, tensors, metadata, readTensor, readFloat32 };
}

/** Opens a regular file for reading, and closes it after `use`. Devices and pipes are refused: they could block. */
async function withFile<T>(path: string, use: (handle: FileHandle) => Promise<T>): Promise<T> {
  const found = await stat(path).catch((cause: Error) => {
    throw new UserError(`cannot open ${path}: ${cause.message}`, { cause });
  });
  if (!found.isFile()) throw new UserError(`${path} is not a file; expected a .safetensors file`);
  const handle = await open(path, "r").catch((cause: Error) => {
    throw new UserError(`cannot open ${path}: ${cause.message}`, { cause });
  });
  try {
    return await use(handle);
  } finally {
    await handle.close();
  }
}

async function readHeader(path: string, handle: FileHandle, fileBytes: number): Promise<Header> {
  if (fileBytes < 8) {
    throw new UserError(
      `${path} is not a valid safetensors file: it is ${fileBytes === 0 ? "empty" : `only ${fileBytes} bytes long`}`,
    );
  }
  const length = new Uint8Array(8);
  await readFully(path, handle, length, 0);
  const headerBytes = new DataView(length.buffer).getBigUint64(0, true);
  if (headerBytes > MAX_HEADER_BYTES) {
    throw new UserError(
      `${path} is not a valid safetensors file: it announces a header of ${headerBytes} bytes; ` +
        `at most ${MAX_HEADER_BYTES} are allowed`,
    );
  }
  const dataBytes = fileBytes - 8 - Number(headerBytes);
  if (dataBytes < 0) {
    throw new UserError(
      `${path} is not a valid safetensors file: it is truncated inside its header ` +
        `(${fileBytes} bytes, the header alone needs ${8n + headerBytes})`,
    );
  }
  const json = new Uint8Array(Number(headerBytes));
  await readFully(path, handle, json, 8);
  return parseHeader(path, json, dataBytes);
}

async function readEntry(name: string, entry: TensorEntry, handle: FileHandle): Promise<Tensor> {
  const result = zeros(entry.shape, entry.dtype);
  const bytes = new Uint8Array(result.data.buffer);
  await readFully(entry.file, handle, bytes, entry.byteOffset);
  if (entry.dtype === "bool" && bytes.some((byte) => byte > 1)) {
    throw new UserError(`${entry.file}: tensor "${name}" is BOOL but holds bytes other than 0 and 1`);
  }
  return result;
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
