import { invariant } from "../tensor/errors.ts";
import { type DType } from "../tensor/tensor.ts";
import { type Value } from "./graph.ts";

/** A value, or a number that becomes a scalar constant of the other operand's type. */
export type Operand = Value | number;

/** Shape of `a op b` under numpy's broadcasting rule; throws when the shapes do not agree. */
export function broadcastShapes(a: readonly number[], b: readonly number[]): number[] {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, axis) => {
    const x = a[axis - rank + a.length] ?? 1;
    const y = b[axis - rank + b.length] ?? 1;
    invariant(
      x === y || x === 1 || y === 1,
      `shapes [${a.join(", ")}] and [${b.join(", ")}] do not broadcast`,
    );
    return x === 1 ? y : x;
  });
}

function binary(op: string, a: Operand, b: Operand, dtype?: DType): Value {
  const anchor = typeof a === "number" ? b : a;
  invariant(typeof anchor !== "number", `${op} of two plain numbers`);
  const x = typeof a === "number" ? anchor.graph.scalar(a, anchor.dtype) : a;
  const y = typeof b === "number" ? anchor.graph.scalar(b, anchor.dtype) : b;
  invariant(x.dtype === y.dtype, `${op} of ${x.dtype} and ${y.dtype}`);
  const type = { shape: broadcastShapes(x.shape, y.shape), dtype: dtype ?? x.dtype };
  return anchor.graph.emit(op, [x, y], [type])[0]!;
}

function unary(op: string, x: Value, dtype: DType = x.dtype, attributes = {}): Value {
  return x.graph.emit(op, [x], [{ shape: x.shape, dtype }], { attributes })[0]!;
}

export const add = (a: Operand, b: Operand): Value => binary("Add", a, b);
export const sub = (a: Operand, b: Operand): Value => binary("Sub", a, b);
export const mul = (a: Operand, b: Operand): Value => binary("Mul", a, b);
export const div = (a: Operand, b: Operand): Value => binary("Div", a, b);
export const pow = (a: Operand, b: Operand): Value => binary("Pow", a, b);
export const maximum = (a: Operand, b: Operand): Value => binary("Max", a, b);
export const minimum = (a: Operand, b: Operand): Value => binary("Min", a, b);
export const less = (a: Operand, b: Operand): Value => binary("Less", a, b, "bool");
export const greater = (a: Operand, b: Operand): Value => binary("Greater", a, b, "bool");
export const equal = (a: Operand, b: Operand): Value => binary("Equal", a, b, "bool");
export const or = (a: Value, b: Value): Value => binary("Or", a, b, "bool");
export const and = (a: Value, b: Value): Value => binary("And", a, b, "bool");

export const not = (x: Value): Value => unary("Not", x);
export const neg = (x: Value): Value => unary("Neg", x);
export const abs = (x: Value): Value => unary("Abs", x);
export const sign = (x: Value): Value => unary("Sign", x);
export const exp = (x: Value): Value => unary("Exp", x);
export const log = (x: Value): Value => unary("Log", x);
export const sqrt = (x: Value): Value => unary("Sqrt", x);
export const reciprocal = (x: Value): Value => unary("Reciprocal", x);
export const sin = (x: Value): Value => unary("Sin", x);
export const cos = (x: Value): Value => unary("Cos", x);
export const tanh = (x: Value): Value => unary("Tanh", x);
export const sigmoid = (x: Value): Value => unary("Sigmoid", x);
export const erf = (x: Value): Value => unary("Erf", x);
export const floor = (x: Value): Value => unary("Floor", x);
export const relu = (x: Value): Value => unary("Relu", x);
export const cast = (x: Value, dtype: DType): Value =>
  x.dtype === dtype ? x : unary("Cast", x, dtype, { to: ONNX_DTYPE[dtype] });

/** The same bits read as another type of the same width. */
export const bitCast = (x: Value, dtype: DType): Value =>
  unary("BitCast", x, dtype, { to: ONNX_DTYPE[dtype] });

/** GELU in the tanh form (FFN, text embedding) or the exact form (image embedding, CLIP). */
export const gelu = (x: Value, approximate: "tanh" | "none"): Value =>
  unary("Gelu", x, x.dtype, { approximate });

/** x · sigmoid(x). */
export const silu = (x: Value): Value => mul(x, sigmoid(x));

/** Limits every element to [low, high]. */
export function clip(x: Value, low: number, high: number): Value {
  const inputs = [x, x.graph.scalar(low, x.dtype), x.graph.scalar(high, x.dtype)];
  return x.graph.emit("Clip", inputs, [x])[0]!;
}

/** condition ? a : b, broadcast. */
export function where(condition: Value, a: Value, b: Value): Value {
  invariant(condition.dtype === "bool", `where() asks for a bool condition, got ${condition.dtype}`);
  invariant(a.dtype === b.dtype, `where() of ${a.dtype} and ${b.dtype}`);
  const shape = broadcastShapes(condition.shape, broadcastShapes(a.shape, b.shape));
  return a.graph.emit("Where", [condition, a, b], [{ shape, dtype: a.dtype }])[0]!;
}

/** Element type numbers of the ONNX format. */
export const ONNX_DTYPE: { readonly [D in DType]: number } = {
  float32: 1,
  uint8: 2,
  int8: 3,
  uint16: 4,
  int16: 5,
  int32: 6,
  int64: 7,
  bool: 9,
  float16: 10,
  float64: 11,
  bfloat16: 16,
};
