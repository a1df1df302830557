/** Weights read from their files again and again, always into the same memory. */
import { type FileHandle, open } from "node:fs/promises";
import { UserError } from "../tensor/errors.ts";
import { type DType, type Tensor, zeros } from "../tensor/tensor.ts";
import { isDense, type Checkpoint, type TensorEntry } from "./tensor-file.ts";

/** One system call reads at most 2 GiB. */
const READ_BYTES = 1 << 28;

/**
 * Memory for one set of tensors at a time: those of one range of a model's blocks, then those of another. Each name
 * keeps its buffer as long as type and shape stay the same, so a model of any size passes through the memory of one
 * range, and nothing is left to the garbage collector.
 */
export class TensorBuffers {
  private readonly buffers = new Map<string, Tensor>();

  private constructor(
    private readonly checkpoint: Checkpoint,
    private readonly handles: ReadonlyMap<string, FileHandle>,
  ) {}

  /**
   * @param checkpoint where the tensors lie; its files stay open and must not change
   * @throws UserError when a file cannot be opened
   */
  static async open(checkpoint: Checkpoint): Promise<TensorBuffers> {
    const handles = new Map<string, FileHandle>();
    for (const file of new Set([...checkpoint.tensors.values()].map((entry) => entry.file))) {
      try {
        handles.set(file, await open(file, "r"));
      } catch (cause) {
        await closeAll(handles);
        throw new UserError(`cannot open ${file}: ${(cause as Error).message}`, { cause });
      }
    }
    return new TensorBuffers(checkpoint, handles);
  }

  /**
   * Reads tensors, each in the type that it is stored in. They are valid until the next call. All reads begin before
   * this returns its promise, and go on while the calling thread computes.
   * @param keys the tensors' keys in the checkpoint, by the names to give them
   * @throws UserError when a tensor is missing or a file has become shorter
   */
  async read(keys: ReadonlyMap<string, string>): Promise<Record<string, Tensor>> {
    const reads = [...keys].map(async ([name, key]) => [name, await this.readOne(name, key)] as const);
    return Object.fromEntries(await Promise.all(reads));
  }

  /** Closes the files, after reads that are under way. */
  close(): Promise<void> {
    return closeAll(this.handles);
  }

  private readOne(name: string, key: string): Promise<Tensor> {
    const entry = this.checkpoint.tensors.get(key);
    if (entry === undefined) throw new UserError(`${this.checkpoint.path} has no tensor "${key}"`);
    if (!isDense(entry)) return this.checkpoint.readTensor(key);
    return readInto(this.bufferFor(name, entry), entry, this.handles.get(entry.file)!);
  }

  private bufferFor(name: string, { dtype, shape }: TensorEntry): Tensor {
    const known = this.buffers.get(name);
    if (known && known.dtype === dtype && `${known.shape}` === `${shape}`) return known;
    const fresh = zeros<DType>(shape, dtype);
    this.buffers.set(name, fresh);
    return fresh;
  }
}

async function readInto(tensor: Tensor, entry: TensorEntry, file: FileHandle): Promise<Tensor> {
  const { data } = tensor;
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  const readPart = async (from: number): Promise<void> => {
    const end = Math.min(from + READ_BYTES, bytes.byteLength);
    for (let at = from; at < end;) {
      const { bytesRead } = await file.read(bytes, at, end - at, entry.byteOffset + at);
      if (bytesRead === 0) throw new UserError(`${entry.file} became shorter while it was read`);
      at += bytesRead;
    }
  };
  const numParts = Math.ceil(bytes.byteLength / READ_BYTES);
  await Promise.all(Array.from({ length: numParts }, (_, part) => readPart(part * READ_BYTES)));
  return tensor;
}

async function closeAll(handles: ReadonlyMap<string, FileHandle>): Promise<void> {
  await Promise.all([...handles.values()].map((handle) => handle.close()));
}
