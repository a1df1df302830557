import { bytesPerElement, type DType, sizeOf, stridesOf } from "../../tensor/tensor.ts";
import { spanOf } from "../tensor-file.ts";
import { PickleTuple, TensorRef, type Fail, type PickleValue, type StorageRef } from "./pickle-values.ts";

/** As in PyTorch. */
const MAX_RANK = 64;

/**
 * A tensor from what a pickle says of it.
 * @param parts offset, size and stride, in elements
 * @throws by `fail` when an element lies outside the storage, or two at the same place: a tensor that is expanded
 * from a few elements could take any amount of memory
 */
export function viewOf(
  storage: StorageRef,
  dtype: DType,
  [offset, size, stride]: readonly (PickleValue | undefined)[],
  fail: Fail,
): TensorRef {
  const shape = sizesFrom(size);
  const strides = sizesFrom(stride);
  if (shape === null || strides === null || shape.length !== strides.length) {
    return fail("it holds a tensor without a proper size and stride");
  }
  if (!isSize(offset)) return fail("it holds a tensor that begins nowhere in its storage");
  const words = `a tensor [${shape.join(", ")}]`;
  const bytes = bytesPerElement(dtype);
  let product = bytes;
  for (const dim of shape) {
    product *= dim;
    if (!Number.isSafeInteger(product)) return fail(`it holds ${words}: impossibly large`);
  }
  const byteOffset = offset * bytes;
  const isEmpty = sizeOf(shape) === 0;
  const byteEnd = isEmpty ? byteOffset : byteOffset + spanOf(shape, strides) * bytes;
  if (!Number.isSafeInteger(byteEnd) || byteEnd > storage.byteLength) {
    return fail(`it holds ${words} that reaches beyond its storage of ${storage.byteLength} bytes`);
  }
  if (isEmpty || isDense(shape, strides)) return new TensorRef(storage, dtype, shape, byteOffset, null);
  if (overlapsItself(shape, strides)) {
    return fail(`it holds ${words} with strides [${strides.join(", ")}]: several elements at the same place`);
  }
  return new TensorRef(storage, dtype, shape, byteOffset, strides);
}

function sizesFrom(value: PickleValue | undefined): number[] | null {
  const items = Array.isArray(value) ? value : value instanceof PickleTuple ? value.items : null;
  return items && items.length <= MAX_RANK && items.every(isSize) ? [...items] : null;
}

function isSize(value: PickleValue | undefined): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

/** The stride of an axis of one element does not matter. */
function isDense(shape: readonly number[], strides: readonly number[]): boolean {
  return stridesOf(shape).every((stride, axis) => shape[axis] === 1 || strides[axis] === stride);
}

/** Each axis must step over all that the axes with smaller strides span. */
function overlapsItself(shape: readonly number[], strides: readonly number[]): boolean {
  const axes = shape.map((dim, axis) => ({ dim, stride: strides[axis]! })).filter(({ dim }) => dim > 1);
  axes.sort((a, b) => a.stride - b.stride);
  let span = 1;
  for (const { dim, stride } of axes) {
    if (stride < span) return true;
    span += (dim - 1) * stride;
  }
  return false;
}
