/**
 * IEEE binary16 and bfloat16, both held as their raw bits in a Uint16Array.
 * Narrowing rounds to nearest, ties to even; widening is exact.
 */
import { UserError } from "./errors.ts";
import { tensor, type DType, type Tensor } from "./tensor.ts";

/** Widens binary16 bits to float32, exactly. */
export function float16ToFloat32(bits: Uint16Array): Float32Array {
  const out = new Uint32Array(bits.length);
  for (let i = 0; i < bits.length; i++) out[i] = WIDENED_FLOAT16[bits[i]!]!;
  return new Float32Array(out.buffer);
}

/** Rounds float32 to binary16 bits; beyond 65504 it becomes infinity, below 2^-25 zero; a NaN stays a NaN. */
export function float32ToFloat16(values: Float32Array): Uint16Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const out = new Uint16Array(values.length);
  for (let i = 0; i < bits.length; i++) out[i] = narrowToFloat16(bits[i]!);
  return out;
}

/** Widens bfloat16 bits to float32, exactly. */
export function bfloat16ToFloat32(bits: Uint16Array): Float32Array {
  const out = new Uint32Array(bits.length);
  for (let i = 0; i < bits.length; i++) out[i] = bits[i]! << 16;
  return new Float32Array(out.buffer);
}

/** Rounds float32 to bfloat16 bits; a NaN stays a NaN. */
export function float32ToBfloat16(values: Float32Array): Uint16Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const out = new Uint16Array(values.length);
  for (let i = 0; i < bits.length; i++) out[i] = narrowToBfloat16(bits[i]!);
  return out;
}

/** The bfloat16 value nearest to each element, as float32. */
export function roundToBfloat16(values: Float32Array): Float32Array {
  return bfloat16ToFloat32(float32ToBfloat16(values));
}

/** A floating tensor of 32 bits or fewer as float32. Throws a UserError for every other element type. */
export function toFloat32(source: Tensor, name = "tensor"): Tensor<"float32"> {
  if (isDType(source, "float32")) return source;
  if (isDType(source, "float16")) return tensor("float32", source.shape, float16ToFloat32(source.data));
  if (isDType(source, "bfloat16")) return tensor("float32", source.shape, bfloat16ToFloat32(source.data));
  throw new UserError(
    `${name} has elements of type ${source.dtype}; expected float32, float16 or bfloat16 (convert the file first)`,
  );
}

/** Types that weights are stored in. */
export type FloatDType = "float32" | "float16" | "bfloat16";

/** Rounds a float32 tensor to a type of 32 bits or fewer; of float32 itself it is returned as it is. */
export function fromFloat32({ shape, data }: Tensor<"float32">, dtype: FloatDType): Tensor {
  if (dtype === "float16") return tensor(dtype, shape, float32ToFloat16(data));
  if (dtype === "bfloat16") return tensor(dtype, shape, float32ToBfloat16(data));
  return tensor(dtype, shape, data);
}

export function isFloatDType(dtype: string): dtype is FloatDType {
  return dtype === "float32" || dtype === "float16" || dtype === "bfloat16";
}

function isDType<D extends DType>(source: Tensor, dtype: D): source is Tensor<D> {
  return source.dtype === dtype;
}

function narrowToBfloat16(bits: number): number {
  const isNaN = (bits & 0x7fffffff) > 0x7f800000;
  // Rounding could carry a NaN's payload into infinity: set its quiet bit and cut instead.
  return isNaN ? (bits >>> 16) | 0x40 : (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}

function narrowToFloat16(bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00 | ((magnitude >>> 13) & 0x1ff);
  if (magnitude >= 0x477ff000) return sign | 0x7c00; // 65520 and more round to infinity
  if (magnitude <= 0x33000000) return sign; // 2^-25 is a tie, and zero is even
  if (magnitude >= 0x38800000) {
    // Normal: move the exponent bias from 127 to 15 and round 13 bits away.
    return sign | ((magnitude - (112 << 23) + 0xfff + ((magnitude >>> 13) & 1)) >>> 13);
  }
  // Subnormal: the significand in units of 2^-24.
  const shift = 126 - (magnitude >>> 23);
  const significand = (magnitude & 0x7fffff) | 0x800000;
  const whole = significand >>> shift;
  const rest = significand & ((1 << shift) - 1);
  const half = 1 << (shift - 1);
  return sign | (rest > half || (rest === half && (whole & 1) === 1) ? whole + 1 : whole);
}

/** float32 bits of each of the 65,536 binary16 values: a lookup widens four times faster than arithmetic. */
const WIDENED_FLOAT16 = Uint32Array.from({ length: 0x10000 }, (_, half) => {
  const sign = (half & 0x8000) << 16;
  const exponent = (half >>> 10) & 0x1f;
  const fraction = half & 0x3ff;
  if (exponent === 0x1f) return sign | 0x7f800000 | (fraction << 13);
  if (exponent > 0) return sign | ((exponent + 112) << 23) | (fraction << 13);
  const [magnitude] = new Uint32Array(Float32Array.of(fraction * 2 ** -24).buffer);
  return sign | magnitude!;
});
