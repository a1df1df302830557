/** Types that a model's weights can be stored in, whatever they are computed in. */
import { UserError } from "../tensor/errors.ts";
import { type FloatDType, fromFloat32, isFloatDType, toFloat32 } from "../tensor/float16.ts";
import { type DType, type Tensor } from "../tensor/tensor.ts";

export const STORED_PRECISIONS = {
  f32: "float32",
  f16: "float16",
  bf16: "bfloat16",
} as const satisfies Record<string, FloatDType>;

export type StoredPrecision = keyof typeof STORED_PRECISIONS;

/** @throws UserError for a name that is none of `STORED_PRECISIONS` */
export function parseStoredPrecision(name: string): StoredPrecision {
  if (Object.hasOwn(STORED_PRECISIONS, name)) return name as StoredPrecision;
  throw new UserError(`precision: got "${name}"; expected ${Object.keys(STORED_PRECISIONS).join(", ")}`);
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
  if (precision === null || !isFloatDType(dtype)) return dtype;
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
