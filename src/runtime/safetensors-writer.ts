import { UserError } from "../tensor/errors.ts";
import { bytesPerElement, sizeOf, type DType, type Tensor } from "../tensor/tensor.ts";
import { writeFileAtomically } from "../files/atomic-file.ts";
import { FORMAT_DTYPES, MAX_HEADER_BYTES } from "./safetensors-header.ts";

/** A tensor to be written: what the header says of it, and its content when its turn comes. */
export interface TensorSource {
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** Its elements in row-major order, in one piece or several of any shape. */
  pieces(): Iterable<Tensor> | AsyncIterable<Tensor>;
}

/**
 * Writes a safetensors file atomically. The same tensors and metadata give the same bytes: metadata keys are
 * sorted; tensors lie by element size, largest first, then by name, so that each is aligned to its elements.
 * @throws UserError when the file cannot be written
 */
export async function writeSafetensors(
  path: string,
  tensors: Readonly<Record<string, Tensor>> | ReadonlyMap<string, Tensor>,
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  const entries = tensors instanceof Map ? [...tensors.entries()] : Object.entries(tensors);
  const sources = entries.map(([name, tensor]) => [name, { ...tensor, pieces: () => [tensor] }] as const);
  await writeSafetensorsFrom(path, new Map(sources), metadata);
}

/** As `writeSafetensors`, with one piece of a tensor in memory at a time. */
export async function writeSafetensorsFrom(
  path: string,
  sources: ReadonlyMap<string, TensorSource>,
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  const entries = [...sources].sort(
    ([nameA, a], [nameB, b]) =>
      bytesPerElement(b.dtype) - bytesPerElement(a.dtype) || (nameA < nameB ? -1 : 1),
  );
  const header = headerOf(path, entries, metadata);
  await writeFileAtomically(path, async (handle) => {
    await handle.writeFile(header);
    for (const [name, source] of entries) {
      let length = 0;
      for await (const { dtype, data } of source.pieces()) {
        length += data.length;
        if (dtype !== source.dtype || length > sizeOf(source.shape))
          throw misfit(name, source, length, dtype);
        await handle.writeFile(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
      }
      if (length !== sizeOf(source.shape)) throw misfit(name, source, length, source.dtype);
    }
  });
}

function misfit(name: string, { dtype, shape }: TensorSource, length: number, given: DType): RangeError {
  return new RangeError(
    `tensor "${name}": ${length} elements of ${given} do not fill ${dtype} [${shape.join(", ")}]`,
  );
}

/** The length field and the JSON, padded with spaces to a multiple of 8 bytes. */
function headerOf(
  path: string,
  entries: readonly (readonly [string, Omit<TensorSource, "pieces">])[],
  metadata: Readonly<Record<string, string>>,
): Uint8Array {
  const fields: [string, unknown][] = [];
  const sortedMetadata = Object.entries(metadata).sort(([a], [b]) => (a < b ? -1 : 1));
  if (sortedMetadata.length > 0) fields.push(["__metadata__", Object.fromEntries(sortedMetadata)]);
  let offset = 0;
  for (const [name, { dtype, shape }] of entries) {
    if (name === "__metadata__") throw new UserError(`${path}: a tensor cannot be named "__metadata__"`);
    const end = offset + sizeOf(shape) * bytesPerElement(dtype);
    fields.push([name, { dtype: FORMAT_DTYPES.get(dtype), shape, data_offsets: [offset, end] }]);
    offset = end;
  }
  // Pair by pair: an object would move names that look like numbers to the front.
  const text = `{${fields.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`).join(",")}}`;
  const json = new TextEncoder().encode(text);
  const padded = Math.ceil(json.byteLength / 8) * 8;
  if (padded > MAX_HEADER_BYTES)
    throw new UserError(`${path}: names and shapes exceed ${MAX_HEADER_BYTES} bytes`);
  const header = new Uint8Array(8 + padded).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(padded), true);
  header.set(json, 8);
  return header;
}
