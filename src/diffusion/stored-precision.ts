/** Types that a model's weights can be stored in, whatever they are computed in. */
import { INT8_TARGETS } from "../models/layers/smooth-quant.ts";
import { type TensorEntry } from "../runtime/tensor-file.ts";
import { type BlockBits, BLOCK_SIZE } from "../tensor/block-wise.ts";
import { UserError } from "../tensor/errors.ts";
import { type FloatDType, fromFloat32, isFloatDType, toFloat32 } from "../tensor/float16.ts";
import { type DType, type Tensor } from "../tensor/tensor.ts";

export const STORED_PRECISIONS = {
  f32: "float32",
  f16: "float16",
  bf16: "bfloat16",
} as const satisfies Record<string, FloatDType>;

/** Linear layers of the denoiser's blocks in blocks of few bits (see `toBlocks`); everything else keeps its type. */
const BLOCK_PRECISIONS = { q8: 8, q4: 4 } as const satisfies Record<string, BlockBits>;

export type StoredPrecision = keyof typeof STORED_PRECISIONS | keyof typeof BLOCK_PRECISIONS;

const NAMES = [...Object.keys(STORED_PRECISIONS), ...Object.keys(BLOCK_PRECISIONS)];

/** @throws UserError for a name that is none of them */
export function parseStoredPrecision(name: string): StoredPrecision {
  if (NAMES.includes(name)) return name as StoredPrecision;
  throw new UserError(`precision: got "${name}"; expected ${NAMES.join(", ")}`);
}

/** Bits of a weight of the denoiser that is to be stored in blocks; null for others. */
export function storedBits(
  key: string,
  { shape, blocks }: Pick<TensorEntry, "shape" | "blocks">,
  precision: StoredPrecision | null,
): BlockBits | null {
  if (precision === null) return blocks?.bits ?? null;
  if (precision !== "q8" && precision !== "q4") return null;
  return INT8_TARGETS.test(key) && shape[1]! % BLOCK_SIZE === 0 ? BLOCK_PRECISIONS[precision] : null;
}

/**
 * The type to store a weight in. Vectors (biases, scales of norms) keep theirs where 16 bits are asked for: they are a
 * thousandth of a model, and every value of a layer depends on them.
 * @param precision null: the type that it has
 */
export function storedDType(
  { dtype, shape }: { readonly dtype: DType; readonly shape: readonly number[] },
  precision: StoredPrecision | null,
): DType {
  if (precision === null || precision === "q8" || precision === "q4" || !isFloatDType(dtype)) return dtype;
  return precision === "f32" || shape.length > 1 ? STORED_PRECISIONS[precision] : dtype;
}

/**
 * A weight, or a piece of one, in another type.
 * @param name for messages
 * @throws UserError when a value is too large for float16 (65504 at most)
 */
export function storeAs(source: Tensor, dtype: DType, name: string): Tensor {
  if (source.dtype === dtype || !isFloatDType(dtype)) return source;
  const wide = toFloat32(source, name);
  const stored = fromFloat32(wide, dtype);
  if (dtype === "float16") {
    const bits = stored.data as Uint16Array;
    const tooLarge = wide.data.find((x, i) => (bits[i]! & 0x7fff) === 0x7c00 && Number.isFinite(x));
    if (tooLarge !== undefined) {
      throw new UserError(
        `${name} holds ${tooLarge.toPrecision(3)}, too large for float16; take bf16 instead, which keeps the range`,
      );
    }
  }
  return stored;
}
