import { Builder } from "flatbuffers";

/** A tensor of a hand-made model: a computed one, or a constant with values. */
export interface TestTensor {
  readonly shape: readonly number[];
  /** Element type number of the schema: 0 float32 (default), 1 float16, 2 int32. */
  readonly type?: number;
  readonly values?: Float32Array | Uint16Array | Int32Array;
  readonly sparsity?: TestSparsity;
}

export interface TestSparsity {
  readonly traversal: readonly number[];
  readonly blockMap: readonly number[];
  /** A number is a dense level's size; otherwise a compressed level, its vectors in the given integer width. */
  readonly levels: readonly (
    | number
    | {
        readonly segments: readonly number[];
        readonly indices: readonly number[];
        readonly bits: 8 | 16 | 32;
      }
  )[];
}

export interface TestOperator {
  readonly code: number;
  readonly inputs: readonly number[];
  readonly outputs: readonly number[];
  /** Fields of the operation's options by their number; `byte` fields are flags and enumerations. */
  readonly options?: readonly { readonly field: number; readonly byte?: number; readonly int?: number }[];
}

export interface TestModel {
  readonly version?: number;
  readonly tensors: readonly TestTensor[];
  readonly operators: readonly TestOperator[];
  readonly input?: number;
  readonly output: number;
}

/** Writes a TFLite file whose tensor i is named `t{i}`. Field numbers are those of the schema. */
export function writeTflite({ version = 3, tensors, operators, input = 0, output }: TestModel): Uint8Array {
  const b = new Builder(1024);
  // Buffer 0 is empty by convention; tensor i has buffer i + 1.
  const buffers = [undefined, ...tensors.map((tensor) => tensor.values)].map((values) =>
    table(b, 1, values ? [offset(0, bytes(b, values))] : []),
  );
  const tensorTables = tensors.map((tensor, i) => {
    const fields = [
      offset(0, ints(b, tensor.shape)),
      byte(1, tensor.type ?? 0),
      int(2, i + 1),
      offset(3, b.createString(`t${i}`)),
    ];
    if (tensor.sparsity) fields.push(offset(6, sparsityTable(b, tensor.sparsity)));
    return table(b, 8, fields);
  });
  const operatorTables = operators.map(({ inputs, outputs, options = [] }, i) => {
    const optionTable = table(
      b,
      8,
      options.map((option) =>
        option.byte === undefined ? int(option.field, option.int ?? 0) : byte(option.field, option.byte),
      ),
    );
    return table(b, 9, [
      int(0, i),
      offset(1, ints(b, inputs)),
      offset(2, ints(b, outputs)),
      offset(4, optionTable),
    ]);
  });
  const codes = operators.map(({ code }) => table(b, 4, [byte(0, Math.min(code, 127)), int(3, code)]));
  const subgraph = table(b, 5, [
    offset(0, offsets(b, tensorTables)),
    offset(1, ints(b, [input])),
    offset(2, ints(b, [output])),
    offset(3, offsets(b, operatorTables)),
  ]);
  const model = table(b, 5, [
    int(0, version),
    offset(1, offsets(b, codes)),
    offset(2, offsets(b, [subgraph])),
    offset(4, offsets(b, buffers)),
  ]);
  b.finish(model, "TFL3");
  return b.asUint8Array();
}

/** Adds one field to the table under construction. */
type Field = (b: Builder) => void;

const offset =
  (field: number, target: number): Field =>
  (b) =>
    b.addFieldOffset(field, target, 0);
const int =
  (field: number, value: number): Field =>
  (b) =>
    b.addFieldInt32(field, value, 0);
const byte =
  (field: number, value: number): Field =>
  (b) =>
    b.addFieldInt8(field, value, 0);

function table(b: Builder, numFields: number, fields: readonly Field[]): number {
  b.startObject(numFields);
  for (const add of fields) add(b);
  return b.endObject();
}

function offsets(b: Builder, targets: readonly number[]): number {
  b.startVector(4, targets.length, 4);
  for (const target of targets.toReversed()) b.addOffset(target);
  return b.endVector();
}

function ints(b: Builder, values: readonly number[]): number {
  b.startVector(4, values.length, 4);
  for (const value of values.toReversed()) b.addInt32(value);
  return b.endVector();
}

function bytes(b: Builder, values: Float32Array | Uint16Array | Int32Array): number {
  return b.createByteVector(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
}

function sparsityTable(b: Builder, { traversal, blockMap, levels }: TestSparsity): number {
  const metadata = levels.map((level) => {
    if (typeof level === "number") return table(b, 6, [byte(0, 0), int(1, level)]);
    const kind = { 32: 1, 16: 2, 8: 3 }[level.bits];
    const segments = table(b, 1, [offset(0, narrow(b, level.segments, level.bits))]);
    const indices = table(b, 1, [offset(0, narrow(b, level.indices, level.bits))]);
    return table(b, 6, [byte(0, 1), byte(2, kind), offset(3, segments), byte(4, kind), offset(5, indices)]);
  });
  return table(b, 3, [
    offset(0, ints(b, traversal)),
    offset(1, ints(b, blockMap)),
    offset(2, offsets(b, metadata)),
  ]);
}

function narrow(b: Builder, values: readonly number[], bits: 8 | 16 | 32): number {
  if (bits === 32) return ints(b, values);
  b.startVector(bits / 8, values.length, bits / 8);
  for (const value of values.toReversed()) {
    if (bits === 16) b.addInt16(value);
    else b.addInt8(value);
  }
  return b.endVector();
}
