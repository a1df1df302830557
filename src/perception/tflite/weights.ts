import { float16ToFloat32 } from "../../tensor/float16.ts";
import { UserError } from "../../tensor/errors.ts";
import { float32, stridesOf, type Tensor } from "../../tensor/tensor.ts";
import { ELEMENT_BYTES, type TfliteTensor } from "./model-file.ts";
import { densify } from "./sparse.ts";

/** A constant's values as dense float32, in the file's channels-last layout. */
export function floatWeights(tensor: TfliteTensor): Tensor<"float32"> {
  const { shape, sparsity, name } = tensor;
  const values = storedFloats(tensor);
  return float32(sparsity ? densify(values, shape, sparsity, name) : values, shape);
}

function storedFloats({ name, type, bytes }: TfliteTensor): Float32Array {
  if (type === "int32") throw new UserError(`${name} holds integers; expected floats`);
  // Copied, because a file's vectors need not start at a multiple of their element size.
  const aligned = new Uint8Array(bytes.subarray(0, bytes.length - (bytes.length % ELEMENT_BYTES[type])));
  return type === "float16"
    ? float16ToFloat32(new Uint16Array(aligned.buffer))
    : new Float32Array(aligned.buffer);
}

/** A constant list of integers, such as paddings, axes or a target shape. */
export function integers({ name, type, bytes, sparsity }: TfliteTensor): number[] {
  if (type !== "int32" || sparsity || bytes.length === 0) {
    throw new UserError(`${name} is no constant list of integers`);
  }
  return [...new Int32Array(new Uint8Array(bytes).buffer)];
}

/** The same tensor with its axes in a new order: axis i of the result is axis order[i]. */
export function permute({ shape, data }: Tensor<"float32">, order: readonly number[]): Tensor<"float32"> {
  const strides = stridesOf(shape);
  const target = order.map((axis) => shape[axis]!);
  const steps = order.map((axis) => strides[axis]!);
  const result = new Float32Array(data.length);
  let next = 0;
  const visit = (axis: number, offset: number): void => {
    const [size, step] = [target[axis]!, steps[axis]!];
    if (axis === target.length - 1) {
      for (let i = 0; i < size; i++) result[next++] = data[offset + i * step]!;
    } else {
      for (let i = 0; i < size; i++) visit(axis + 1, offset + i * step);
    }
  };
  visit(0, 0);
  return float32(result, target);
}
