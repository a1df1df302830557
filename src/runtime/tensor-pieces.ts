import { open } from "node:fs/promises";
import { UserError } from "../tensor/errors.ts";
import { bytesPerElement, sizeOf, type Tensor, zeros } from "../tensor/tensor.ts";
import { type Checkpoint, isDense, type TensorEntry } from "./tensor-file.ts";

/** Bytes of a piece: enough for a disk to be quick, and nothing to a machine that runs a model. */
const PIECE_BYTES = 1 << 24;

/**
 * Reads one tensor as vectors of at most 16 MiB in row-major order, so that a tensor of gigabytes passes through
 * little memory. Tensors that do not lie densely in their file come in one piece.
 *
 * A piece is valid until the next one is asked for: all share one buffer.
 * @throws UserError when the tensor is missing or its file has become shorter
 */
export async function* readPieces(checkpoint: Checkpoint, name: string): AsyncGenerator<Tensor> {
  const entry = checkpoint.tensors.get(name);
  const places = entry?.parts ?? (entry ? [entry] : []);
  if (places.length === 0 || !places.every(isDense)) {
    yield await checkpoint.readTensor(name);
    return;
  }
  for (const place of places) yield* piecesOf(place);
}

async function* piecesOf({ file, dtype, shape, byteOffset }: TensorEntry): AsyncGenerator<Tensor> {
  const size = bytesPerElement(dtype);
  const length = sizeOf(shape);
  const buffer = zeros([Math.min(length, PIECE_BYTES / size)], dtype);
  const handle = await open(file, "r").catch((cause: Error) => {
    throw new UserError(`cannot open ${file}: ${cause.message}`, { cause });
  });
  try {
    for (let from = 0; from < length;) {
      const data = buffer.data.subarray(0, length - from);
      const bytes = new Uint8Array(data.buffer, 0, data.byteLength);
      for (let done = 0; done < bytes.byteLength;) {
        const position = byteOffset + from * size + done;
        const { bytesRead } = await handle.read(bytes, done, bytes.byteLength - done, position);
        if (bytesRead === 0) throw new UserError(`${file} became shorter while it was read`);
        done += bytesRead;
      }
      yield { dtype, shape: [data.length], data };
      from += data.length;
    }
  } finally {
    await handle.close();
  }
}
