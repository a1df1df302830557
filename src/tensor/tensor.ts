/** Element types, spelled as ONNX Runtime spells them; 16-bit floats are held as their bits. */
export type DType =
  | "float32"
  | "float64"
  | "float16"
  | "bfloat16"
  | "int8"
  | "uint8"
  | "int16"
  | "uint16"
  | "int32"
  | "int64"
  | "bool";

/** Backing array of each element type. float16 and bfloat16 hold raw bits. */
export interface DataOf {
  float32: Float32Array;
  float64: Float64Array;
  float16: Uint16Array;
  bfloat16: Uint16Array;
  int8: Int8Array;
  uint8: Uint8Array;
  int16: Int16Array;
  uint16: Uint16Array;
  int32: Int32Array;
  int64: BigInt64Array;
  bool: Uint8Array;
}

export type TypedArray = DataOf[DType];

/** A dense row-major array in host memory. `data.length` equals the product of `shape`. */
export interface Tensor<D extends DType = DType> {
  readonly dtype: D;
  readonly shape: readonly number[];
  readonly data: DataOf[D];
}

const ARRAYS: { [D in DType]: new (length: number) => DataOf[D] } = {
  float32: Float32Array,
  float64: Float64Array,
  float16: Uint16Array,
  bfloat16: Uint16Array,
  int8: Int8Array,
  uint8: Uint8Array,
  int16: Int16Array,
  uint16: Uint16Array,
  int32: Int32Array,
  int64: BigInt64Array,
  bool: Uint8Array,
};

/** Bytes of one element. */
export function bytesPerElement(dtype: DType): number {
  return new ARRAYS[dtype](0).BYTES_PER_ELEMENT;
}

/** Number of elements of a shape; 1 for a scalar. */
export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, dim) => product * dim, 1);
}

/** A tensor of zeros. */
export function zeros<D extends DType = "float32">(
  shape: readonly number[],
  dtype: D = "float32" as D,
): Tensor<D> {
  return { dtype, shape, data: new ARRAYS[dtype](sizeOf(shape)) };
}

/** Wraps `data` as a tensor. Throws a RangeError when its length is not the product of `shape`. */
export function tensor<D extends DType>(dtype: D, shape: readonly number[], data: DataOf[D]): Tensor<D> {
  if (data.length !== sizeOf(shape)) {
    throw new RangeError(`${data.length} elements do not fill the shape [${shape.join(", ")}]`);
  }
  return { dtype, shape, data };
}

/** A float32 tensor from numbers; the shape defaults to a vector. */
export function float32(
  data: ArrayLike<number>,
  shape: readonly number[] = [data.length],
): Tensor<"float32"> {
  return tensor("float32", shape, data instanceof Float32Array ? data : Float32Array.from(data));
}

/** An int64 tensor from numbers; the shape defaults to a vector. */
export function int64(data: readonly number[], shape: readonly number[] = [data.length]): Tensor<"int64"> {
  return tensor(
    "int64",
    shape,
    BigInt64Array.from(data, (x) => BigInt(x)),
  );
}

/** Row-major strides in elements. */
export function stridesOf(shape: readonly number[]): number[] {
  const strides = Array.from(shape, () => 1);
  for (let axis = shape.length - 2; axis >= 0; axis--) strides[axis] = strides[axis + 1]! * shape[axis + 1]!;
  return strides;
}
