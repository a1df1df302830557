import { UserError } from "../../tensor/errors.ts";
import { stridesOf } from "../../tensor/tensor.ts";
import type { FlatTable } from "./flat-table.ts";

/** One level of a sparse tensor: dense (all of `size` coordinates) or compressed (those listed). */
type Level =
  | { readonly kind: "dense"; readonly size: number }
  | {
      readonly kind: "compressed";
      readonly segments: readonly number[];
      readonly indices: readonly number[];
    };

/**
 * The TACO-like sparse layout of TFLite. Levels nest from the outermost in; level i walks axis `axisOf[i]` of the
 * shape in steps of `stepOf[i]` elements, so a block is an outer level in steps of its size and an inner level
 * in steps of one.
 */
export interface Sparsity {
  readonly levels: readonly Level[];
  readonly axisOf: readonly number[];
  readonly stepOf: readonly number[];
}

/** Reads a SparsityParameters table of the schema for a tensor of the given shape. */
export function readSparsity(table: FlatTable, shape: readonly number[], name: string): Sparsity {
  const traversal = table.int32s(0);
  const blockMap = table.int32s(1);
  const levels = table.tables(2).map((level) => readLevel(level, name));
  const rank = shape.length;
  const isOrder = traversal.toSorted((a, b) => a - b).every((dim, i) => dim === i);
  const blocksFit = blockMap.every((axis) => axis >= 0 && axis < rank);
  if (
    !isOrder ||
    !blocksFit ||
    traversal.length !== rank + blockMap.length ||
    levels.length !== traversal.length
  ) {
    throw new UserError(`${name} is damaged: its sparse layout does not fit shape [${shape.join(", ")}]`);
  }
  // Dimensions beyond the rank are those inside blocks; `blockMap` says which axis each one subdivides.
  const axisOf = traversal.map((dim) => (dim < rank ? dim : blockMap[dim - rank]!));
  const stepOf = traversal.map((dim) => {
    const block = dim < rank ? blockMap.indexOf(dim) : -1;
    return block < 0 ? 1 : denseSize(levels[traversal.indexOf(rank + block)], name);
  });
  return { levels, axisOf, stepOf };
}

function denseSize(level: Level | undefined, name: string): number {
  if (level?.kind === "dense") return level.size;
  throw new UserError(`${name} is damaged: its sparse blocks have no size`);
}

function readLevel(table: FlatTable, name: string): Level {
  if (table.uint8(0) === 0) {
    const size = table.int32(1);
    if (size < 1) throw new UserError(`${name} is damaged: a sparse level has size ${size}`);
    return { kind: "dense", size };
  }
  const segments = readIndices(table, 2);
  const indices = readIndices(table, 4);
  const rises = segments.every((end, i) => end >= (segments[i - 1] ?? 0));
  if (!rises || segments[0] !== 0 || segments.at(-1) !== indices.length) {
    throw new UserError(`${name} is damaged: its sparse segments do not cover its indices`);
  }
  return { kind: "compressed", segments, indices };
}

/** A union of three vectors: its kind at `field`, the table that wraps it at the next one. */
function readIndices(table: FlatTable, field: number): number[] {
  const vector = table.table(field + 1);
  switch (table.uint8(field)) {
    case 1:
      return vector?.int32s(0) ?? [];
    case 2:
      return vector?.uint16s(0) ?? [];
    case 3:
      return [...(vector?.bytes(0) ?? [])];
    default:
      return [];
  }
}

/** Spreads the stored values of a sparse tensor over its shape; the rest is zero. */
export function densify(
  values: Float32Array,
  shape: readonly number[],
  { levels, axisOf, stepOf }: Sparsity,
  name: string,
): Float32Array {
  const strides = stridesOf(shape);
  const dense = new Float32Array(shape.reduce((a, b) => a * b, 1));
  const coordinates = shape.map(() => 0);
  const visit = (depth: number, position: number): void => {
    const level = levels[depth];
    if (!level) {
      const inside = coordinates.every((coordinate, axis) => coordinate < shape[axis]!);
      const value = values[position];
      if (!inside || value === undefined) {
        throw new UserError(`${name} is damaged: its sparse values do not fit shape [${shape.join(", ")}]`);
      }
      dense[coordinates.reduce((offset, coordinate, axis) => offset + coordinate * strides[axis]!, 0)] =
        value;
      return;
    }
    const axis = axisOf[depth]!;
    const step = stepOf[depth]!;
    const descend = (coordinate: number, next: number): void => {
      coordinates[axis]! += coordinate * step;
      visit(depth + 1, next);
      coordinates[axis]! -= coordinate * step;
    };
    if (level.kind === "dense") {
      for (let i = 0; i < level.size; i++) descend(i, position * level.size + i);
    } else {
      const end = level.segments[position + 1];
      if (end === undefined) throw new UserError(`${name} is damaged: a sparse segment is missing`);
      for (let i = level.segments[position]!; i < end; i++) descend(level.indices[i]!, i);
    }
  };
  visit(0, 0);
  return dense;
}
