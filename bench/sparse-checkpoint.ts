import { open } from "node:fs/promises";
import { float32ToBfloat16 } from "../src/tensor/float16.ts";
import type { Random } from "../src/tensor/random.ts";
import { sizeOf } from "../src/tensor/tensor.ts";

/** Tensors with fewer elements are written, larger ones are left out. */
const MIN_HOLE_ELEMENTS = 2 ** 19;

/**
 * Writes a safetensors file of bfloat16 weights whose large tensors are holes: zeros that take no space on the disk.
 * Biases, norms, modulation tables and the head's matrix are random, so that something flows through the model.
 * @param shapes by key
 * @returns its length in bytes, as if it were full
 */
export async function writeSparseCheckpoint(
  path: string,
  shapes: ReadonlyMap<string, readonly number[]>,
  random: Random,
): Promise<number> {
  let end = 0;
  const begins = new Map<string, number>();
  const fields: Record<string, unknown> = {};
  for (const [key, shape] of shapes) {
    const begin = end;
    begins.set(key, begin);
    end += 2 * sizeOf(shape);
    fields[key] = { dtype: "BF16", shape, data_offsets: [begin, end] };
  }
  const json = Buffer.from(JSON.stringify(fields));
  const header = Buffer.alloc(8 + Math.ceil(json.length / 8) * 8, " ");
  header.writeBigUInt64LE(BigInt(header.length - 8), 0);
  json.copy(header, 8);
  const file = await open(path, "w");
  try {
    await file.write(header);
    await file.truncate(header.length + end);
    for (const [key, shape] of shapes) {
      if (sizeOf(shape) >= MIN_HOLE_ELEMENTS) continue;
      const values = random
        .fork(key)
        .normals(sizeOf(shape))
        .map((x) => 0.1 * x);
      const bits = float32ToBfloat16(values);
      await file.write(new Uint8Array(bits.buffer), 0, bits.byteLength, header.length + begins.get(key)!);
    }
  } finally {
    await file.close();
  }
  return header.length + end;
}
