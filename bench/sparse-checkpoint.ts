import { open } from "node:fs/promises";
import { FORMAT_DTYPES } from "../src/runtime/safetensors-header.ts";
import { bytesPerElement, sizeOf } from "../src/tensor/tensor.ts";

/**
 * Writes a safetensors file whose tensors are holes: zeros that take no space on the disk.
 * @param shapes by key
 * @returns its length in bytes, as if it were full
 */
export async function writeSparseCheckpoint(
  path: string,
  shapes: ReadonlyMap<string, readonly number[]>,
  dtype: "float32" | "bfloat16",
): Promise<number> {
  let end = 0;
  const fields: Record<string, unknown> = {};
  for (const [key, shape] of shapes) {
    const begin = end;
    end += bytesPerElement(dtype) * sizeOf(shape);
    fields[key] = { dtype: FORMAT_DTYPES.get(dtype), shape, data_offsets: [begin, end] };
  }
  const json = Buffer.from(JSON.stringify(fields));
  const header = Buffer.alloc(8 + Math.ceil(json.length / 8) * 8, " ");
  header.writeBigUInt64LE(BigInt(header.length - 8), 0);
  json.copy(header, 8);
  const file = await open(path, "w");
  try {
    await file.write(header);
    await file.truncate(header.length + end);
  } finally {
    await file.close();
  }
  return header.length + end;
}
