import { invariant } from "../tensor/errors.ts";
import { int64, sizeOf } from "../tensor/tensor.ts";
import { type Value, sameShape } from "./graph.ts";

/** Axis counted from the front. */
export function normalizeAxis(axis: number, rank: number): number {
  const positive = axis < 0 ? axis + rank : axis;
  invariant(positive >= 0 && positive < rank, `axis ${axis} of a value of rank ${rank}`);
  return positive;
}

/** The same elements in another shape; one dimension may be -1. */
export function reshape(x: Value, shape: readonly number[]): Value {
  const known = shape.reduce((product, dim) => (dim === -1 ? product : product * dim), 1);
  const full = shape.map((dim) => (dim === -1 ? sizeOf(x.shape) / known : dim));
  invariant(
    sizeOf(full) === sizeOf(x.shape) && full.every(Number.isInteger),
    `[${x.shape.join(", ")}] cannot be reshaped to [${shape.join(", ")}]`,
  );
  if (sameShape(full, x.shape)) return x;
  return x.graph.emit("Reshape", [x, x.graph.constant(int64(full))], [{ shape: full, dtype: x.dtype }])[0]!;
}

/** Axes in a new order: output axis i is input axis order[i]. */
export function transpose(x: Value, order: readonly number[]): Value {
  invariant(
    order.length === x.rank && new Set(order).size === x.rank,
    `order [${order.join(", ")}] of a value of rank ${x.rank}`,
  );
  if (order.every((axis, i) => axis === i)) return x;
  const shape = order.map((axis) => x.dim(axis));
  return x.graph.emit("Transpose", [x], [{ shape, dtype: x.dtype }], { attributes: { perm: order } })[0]!;
}

/** The last two axes exchanged. */
export function transposeLast(x: Value): Value {
  const axes = x.shape.map((_, axis) => axis);
  return transpose(x, [...axes.slice(0, -2), x.rank - 1, x.rank - 2]);
}

/** Values joined along an axis; all other dimensions must agree. */
export function concat(values: readonly Value[], axis: number): Value {
  const first = values[0];
  invariant(first, "concat of no values");
  if (values.length === 1) return first;
  const at = normalizeAxis(axis, first.rank);
  const shape = [...first.shape];
  shape[at] = 0;
  for (const value of values) {
    invariant(
      value.dtype === first.dtype &&
        value.rank === first.rank &&
        value.shape.every((dim, i) => i === at || dim === first.shape[i]),
      `concat along ${at} of [${first.shape.join(", ")}] and [${value.shape.join(", ")}]`,
    );
    shape[at]! += value.dim(at);
  }
  return first.graph.emit("Concat", values, [{ shape, dtype: first.dtype }], {
    attributes: { axis: at },
  })[0]!;
}

/** Elements start … < end of one axis; a negative `end` counts from the back. */
export function slice(x: Value, axis: number, start: number, end: number = x.dim(axis)): Value {
  const at = normalizeAxis(axis, x.rank);
  const stop = end < 0 ? x.dim(at) + end : end;
  return sliceAxes(x, [{ axis: at, start, end: stop }]);
}

/** A range of one axis: start, start + step, … < end. */
export interface AxisRange {
  readonly axis: number;
  readonly start: number;
  readonly end: number;
  readonly step?: number;
}

/** Ranges of several axes at once. */
export function sliceAxes(x: Value, ranges: readonly AxisRange[]): Value {
  const shape = [...x.shape];
  for (const { axis, start, end, step = 1 } of ranges) {
    invariant(
      start >= 0 && start <= end && end <= x.dim(axis) && step >= 1,
      `slice ${start}:${end}:${step} of axis ${axis} of [${x.shape.join(", ")}]`,
    );
    shape[axis] = Math.ceil((end - start) / step);
  }
  if (sameShape(shape, x.shape)) return x;
  const numbers = (pick: (range: AxisRange) => number): Value => x.graph.constant(int64(ranges.map(pick)));
  const inputs = [
    x,
    numbers((range) => range.start),
    numbers((range) => range.end),
    numbers((range) => range.axis),
    numbers((range) => range.step ?? 1),
  ];
  return x.graph.emit("Slice", inputs, [{ shape, dtype: x.dtype }])[0]!;
}

/** Cuts an axis into pieces of the given sizes. */
export function split(x: Value, axis: number, sizes: readonly number[]): Value[] {
  const at = normalizeAxis(axis, x.rank);
  invariant(
    sizes.reduce((sum, size) => sum + size, 0) === x.dim(at),
    `split of axis ${at} of [${x.shape.join(", ")}] into [${sizes.join(", ")}]`,
  );
  const types = sizes.map((size) => ({ shape: x.shape.with(at, size), dtype: x.dtype }));
  return x.graph.emit("Split", [x, x.graph.constant(int64(sizes))], types, { attributes: { axis: at } });
}

/** Broadcast to a shape. */
export function expand(x: Value, shape: readonly number[]): Value {
  if (sameShape(x.shape, shape)) return x;
  invariant(
    x.shape.every((dim, i) => dim === 1 || dim === shape[i + shape.length - x.rank]),
    `[${x.shape.join(", ")}] cannot be expanded to [${shape.join(", ")}]`,
  );
  return x.graph.emit("Expand", [x, x.graph.constant(int64(shape))], [{ shape, dtype: x.dtype }])[0]!;
}

/** Zeros added before and after each axis. */
export function pad(x: Value, before: readonly number[], after: readonly number[]): Value {
  invariant(before.length === x.rank && after.length === x.rank, `pad of a value of rank ${x.rank}`);
  if ([...before, ...after].every((n) => n === 0)) return x;
  const shape = x.shape.map((dim, i) => dim + before[i]! + after[i]!);
  const pads = x.graph.constant(int64([...before, ...after]));
  return x.graph.emit("Pad", [x, pads], [{ shape, dtype: x.dtype }], {
    attributes: { mode: "constant" },
  })[0]!;
}

/** Rows of `x` along `axis` at the given indices (an int64 or int32 value of any shape). */
export function gather(x: Value, indices: Value, axis = 0): Value {
  const at = normalizeAxis(axis, x.rank);
  const shape = [...x.shape.slice(0, at), ...indices.shape, ...x.shape.slice(at + 1)];
  return x.graph.emit("Gather", [x, indices], [{ shape, dtype: x.dtype }], { attributes: { axis: at } })[0]!;
}

/**
 * Positions of the true elements of a bool vector [N], as int64 [1, n]. Their number n is known only at run time; the
 * result is typed with its upper bound N, so only ops that take any length may read it.
 */
export function trueIndices(mask: Value): Value {
  invariant(
    mask.dtype === "bool" && mask.rank === 1,
    `trueIndices of ${mask.dtype} [${mask.shape.join(", ")}]`,
  );
  return mask.graph.emit("NonZero", [mask], [{ shape: [1, mask.dim(0)], dtype: "int64" }])[0]!;
}

/**
 * Adds every element of `updates` to a copy of `x` at its index along `axis`:
 * x[..., indices[..., i], ...] += updates[..., i].
 * Indices (int64) and updates have one shape, equal to that of `x` on all other axes; indices may repeat.
 */
export function scatterAdd(x: Value, indices: Value, updates: Value, axis: number): Value {
  const at = normalizeAxis(axis, x.rank);
  invariant(
    sameShape(indices.shape, updates.shape) &&
      sameShape(indices.shape.with(at, 0), x.shape.with(at, 0)) &&
      updates.dtype === x.dtype,
    `scatterAdd along ${at} of [${updates.shape.join(", ")}] into [${x.shape.join(", ")}]`,
  );
  const attributes = { axis: at, reduction: "add" };
  return x.graph.emit("ScatterElements", [x, indices, updates], [x], { attributes })[0]!;
}

/** Every element repeated `scale[i]` times along axis i (nearest-neighbour upsampling by whole factors). */
export function upsampleNearest(x: Value, scale: readonly number[]): Value {
  invariant(scale.length === x.rank, `scale of a value of rank ${x.rank}`);
  const shape = x.shape.map((dim, i) => dim * scale[i]!);
  const scales = x.graph.constant({ dtype: "float32", shape: [x.rank], data: Float32Array.from(scale) });
  const attributes = { mode: "nearest", coordinate_transformation_mode: "asymmetric", nearest_mode: "floor" };
  return x.graph.emit("Resize", [x, null, scales], [{ shape, dtype: x.dtype }], { attributes })[0]!;
}

type Group = readonly string[];

function parsePattern(side: string): Group[] {
  const groups: Group[] = [];
  for (const token of side.match(/\([^)]*\)|\S+/g) ?? []) {
    groups.push(token.startsWith("(") ? token.slice(1, -1).split(/\s+/).filter(Boolean) : [token]);
  }
  return groups;
}

/**
 * Reshape and transpose by names: `rearrange(x, "B L (H K) -> B H L K", { H })`.
 * Each axis is a name, `1`, or a group in brackets of which at most one name may be missing from `sizes`.
 */
export function rearrange(x: Value, pattern: string, sizes: Readonly<Record<string, number>> = {}): Value {
  const [left, right, ...rest] = pattern.split("->").map(parsePattern);
  invariant(left && right && rest.length === 0, `pattern "${pattern}" has no single ->`);
  invariant(left.length === x.rank, `pattern "${pattern}" for a value of shape [${x.shape.join(", ")}]`);
  const dims = new Map<string, number>(Object.entries(sizes));
  dims.set("1", 1);
  left.forEach((group, axis) => {
    const unknown = group.filter((name) => !dims.has(name));
    const known = group.reduce((product, name) => product * (dims.get(name) ?? 1), 1);
    invariant(unknown.length <= 1, `pattern "${pattern}": sizes of ${unknown.join(" and ")} are not given`);
    if (unknown[0] !== undefined) dims.set(unknown[0], x.dim(axis) / known);
    const total = group.reduce((product, name) => product * dims.get(name)!, 1);
    invariant(total === x.dim(axis), `pattern "${pattern}" does not fit [${x.shape.join(", ")}]`);
  });
  const source = left.flat().filter((name) => name !== "1");
  const target = right.flat().filter((name) => name !== "1");
  invariant(
    source.length === target.length && target.every((name) => source.includes(name)),
    `pattern "${pattern}" drops or invents an axis`,
  );
  const size = (group: Group): number => group.reduce((product, name) => product * dims.get(name)!, 1);
  const flat = reshape(
    x,
    source.map((name) => dims.get(name)!),
  );
  const moved = transpose(
    flat,
    target.map((name) => source.indexOf(name)),
  );
  return reshape(moved, right.map(size));
}
