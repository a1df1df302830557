import { int64 } from "../tensor/tensor.ts";
import { type Value, sameShape } from "./graph.ts";
import { normalizeAxis, reshape } from "./shape-ops.ts";

export interface ReduceOptions {
  /** Leaves reduced axes with size 1 (default) or drops them. */
  readonly keepDims?: boolean;
}

function reduce(op: string, x: Value, axes: readonly number[], { keepDims = true }: ReduceOptions): Value {
  const at = axes.map((axis) => normalizeAxis(axis, x.rank));
  const shape = x.shape.flatMap((dim, axis) => (at.includes(axis) ? (keepDims ? [1] : []) : [dim]));
  const inputs = [x, x.graph.constant(int64(at))];
  const attributes = { keepdims: keepDims ? 1 : 0 };
  return x.graph.emit(op, inputs, [{ shape, dtype: x.dtype }], { attributes })[0]!;
}

const allAxes = (x: Value): number[] => x.shape.map((_, axis) => axis);

export const sum = (x: Value, axes = allAxes(x), options: ReduceOptions = {}): Value =>
  reduce("ReduceSum", x, axes, options);
export const mean = (x: Value, axes = allAxes(x), options: ReduceOptions = {}): Value =>
  reduce("ReduceMean", x, axes, options);
export const max = (x: Value, axes = allAxes(x), options: ReduceOptions = {}): Value =>
  reduce("ReduceMax", x, axes, options);
export const min = (x: Value, axes = allAxes(x), options: ReduceOptions = {}): Value =>
  reduce("ReduceMin", x, axes, options);

/** Adds up the axes along which `shape` was broadcast to the shape of `x`: the adjoint of broadcasting. */
export function sumTo(x: Value, shape: readonly number[]): Value {
  if (sameShape(x.shape, shape)) return x;
  const lead = x.rank - shape.length;
  const axes = x.shape.flatMap((dim, axis) =>
    axis < lead || (shape[axis - lead] === 1 && dim !== 1) ? [axis] : [],
  );
  return reshape(sum(x, axes), shape);
}

/** Running sum along an axis. */
export function cumSum(x: Value, axis: number): Value {
  return x.graph.emit("CumSum", [x, x.graph.scalar(normalizeAxis(axis, x.rank), "int64")], [x])[0]!;
}

/** Index of the first largest element of an axis, as int64; the axis is kept with size 1. */
export function argMax(x: Value, axis: number): Value {
  const at = normalizeAxis(axis, x.rank);
  const attributes = { axis: at, keepdims: 1, select_last_index: 0 };
  return x.graph.emit("ArgMax", [x], [{ shape: x.shape.with(at, 1), dtype: "int64" }], { attributes })[0]!;
}

/** exp(x) / sum(exp(x)) along an axis. */
export function softmax(x: Value, axis = -1): Value {
  return x.graph.emit("Softmax", [x], [x], { attributes: { axis: normalizeAxis(axis, x.rank) } })[0]!;
}
