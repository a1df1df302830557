import { UserError } from "../../tensor/errors.ts";
import { sizeOf } from "../../tensor/tensor.ts";
import { FlatTable } from "./flat-table.ts";
import { type Sparsity, readSparsity } from "./sparse.ts";

/** Element types of the format that our models use, by their number. */
const ELEMENT_TYPES = new Map([
  [0, "float32"],
  [1, "float16"],
  [2, "int32"],
] as const);

export type ElementType = "float32" | "float16" | "int32";

export const ELEMENT_BYTES: Readonly<Record<ElementType, number>> = { float32: 4, float16: 2, int32: 4 };

/** No tensor of a real model comes near; a larger one is a damaged file. */
const MAX_ELEMENTS = 2 ** 26;

/** A tensor in the format's channels-last layout. */
export interface TfliteTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly type: ElementType;
  /** Little-endian values of a constant; empty for what the graph computes. */
  readonly bytes: Uint8Array;
  /** How the values of a sparse constant spread over its shape. */
  readonly sparsity: Sparsity | null;
}

/** One operation; tensors are indices, -1 an omitted input. `options` has the fields of the operation's own table. */
export interface TfliteOperator {
  readonly code: number;
  readonly inputs: readonly number[];
  readonly outputs: readonly number[];
  readonly options: FlatTable | null;
}

export interface TfliteModel {
  readonly tensors: readonly TfliteTensor[];
  /** In order of execution. */
  readonly operators: readonly TfliteOperator[];
  readonly inputs: readonly number[];
  readonly outputs: readonly number[];
}

/**
 * Reads a TFLite file (schema version 3, one subgraph). Field numbers below are those of the schema.
 * @throws UserError for anything damaged, of another version, or with element types other than f32, f16, i32
 */
export function readTflite(file: Uint8Array, name: string): TfliteModel {
  const root = FlatTable.root(file, "TFL3", name);
  const version = root.int32(0);
  if (version !== 3) throw new UserError(`${name} has TFLite schema version ${version}; expected 3`);
  const subgraphs = root.tables(2);
  const subgraph = subgraphs[0];
  if (!subgraph || subgraphs.length > 1) {
    throw new UserError(`${name} has ${subgraphs.length} subgraphs; expected 1`);
  }
  const codes = root.tables(1).map((code) => Math.max(code.uint8(0), code.int32(3)));
  const buffers = root.tables(4).map((buffer) => buffer.bytes(0));
  const tensors = subgraph
    .tables(0)
    .map((tensor, i) => readTensor(tensor, buffers, `tensor ${i} of ${name}`));
  const checkIndices = (indices: number[], lowest: number): number[] => {
    const wrong = indices.find((index) => index < lowest || index >= tensors.length);
    if (wrong === undefined) return indices;
    throw new UserError(`${name} is damaged: it has no tensor ${wrong}`);
  };
  const operators = subgraph.tables(3).map((operator): TfliteOperator => {
    const code = codes[operator.int32(0)];
    if (code === undefined)
      throw new UserError(`${name} is damaged: it has no operator ${operator.int32(0)}`);
    return {
      code,
      inputs: checkIndices(operator.int32s(1), -1),
      outputs: checkIndices(operator.int32s(2), 0),
      options: operator.table(4),
    };
  });
  return {
    tensors,
    operators,
    inputs: checkIndices(subgraph.int32s(1), 0),
    outputs: checkIndices(subgraph.int32s(2), 0),
  };
}

function readTensor(table: FlatTable, buffers: readonly Uint8Array[], name: string): TfliteTensor {
  const shape = table.int32s(0);
  const size = sizeOf(shape);
  if (shape.some((dim) => dim < 1) || size > MAX_ELEMENTS) {
    throw new UserError(`${name} has shape [${shape.join(", ")}]`);
  }
  const type = ELEMENT_TYPES.get(table.uint8(1) as 0 | 1 | 2);
  if (type === undefined) {
    throw new UserError(`${name} has element type ${table.uint8(1)}; expected 0 (f32), 1 (f16) or 2 (i32)`);
  }
  const bytes = buffers[table.int32(2)];
  if (bytes === undefined) throw new UserError(`${name} is damaged: there is no buffer ${table.int32(2)}`);
  const sparse = table.table(6);
  const expected = size * ELEMENT_BYTES[type];
  if (!sparse && bytes.length !== 0 && bytes.length !== expected) {
    throw new UserError(`${name} is damaged: ${bytes.length} bytes of values, expected ${expected}`);
  }
  const sparsity = sparse && readSparsity(sparse, shape, name);
  return { name: table.string(3), shape, type, bytes, sparsity };
}
