import { createHash } from "node:crypto";
import { type FileHandle, open } from "node:fs/promises";
import { UserError } from "../tensor/errors.ts";
import { type TensorEntry } from "./tensor-file.ts";

/** Bytes that are read of a tensor, in as many places; smaller ones are read whole. */
const SAMPLE_BYTES = 4096;
const NUM_SAMPLES = 8;

/**
 * SHA-256 over name, type, shape and a sample of the bytes of tensors, in hexadecimal: what tells weights from others
 * that were trained or merged further, without reading gigabytes. Training changes all of a tensor, and the samples
 * reach from its first bytes to its last; a change of single values in between goes unseen.
 * @throws UserError when a file is missing or has become shorter
 */
export async function sampledDigest(tensors: Iterable<readonly [string, TensorEntry]>): Promise<string> {
  const hash = createHash("sha256");
  const handles = new Map<string, FileHandle>();
  try {
    for (const [name, entry] of tensors) {
      hash.update(JSON.stringify([name, entry.dtype, entry.shape]));
      const { parts, blocks } = entry;
      for (const { file, byteOffset, byteLength } of parts ??
        (blocks ? [blocks.values, blocks.scale] : [entry])) {
        const handle = handles.get(file) ?? (await openFile(file));
        handles.set(file, handle);
        for (const [from, length] of samplesOf(byteLength)) {
          const { buffer, bytesRead } = await handle.read(Buffer.alloc(length), 0, length, byteOffset + from);
          if (bytesRead < length) throw new UserError(`${file} became shorter while it was read`);
          hash.update(buffer);
        }
      }
    }
  } finally {
    for (const handle of handles.values()) await handle.close();
  }
  return hash.digest("hex");
}

function openFile(path: string): Promise<FileHandle> {
  return open(path, "r").catch((cause: Error) => {
    throw new UserError(`cannot open ${path}: ${cause.message}`, { cause });
  });
}

/** Places and lengths, the first at the start and the last at the end. */
function samplesOf(byteLength: number): (readonly [from: number, length: number])[] {
  if (byteLength <= NUM_SAMPLES * SAMPLE_BYTES) return [[0, byteLength]];
  const step = (byteLength - SAMPLE_BYTES) / (NUM_SAMPLES - 1);
  return Array.from({ length: NUM_SAMPLES }, (_, i) => [Math.floor(i * step), SAMPLE_BYTES]);
}
