import { describe, expect, test } from "vitest";
import { type Tensor, int64 } from "../tensor/tensor.ts";
import * as ops from "./index.ts";
import { Graph, type Value } from "./graph.ts";
import { GRADIENT_RULES } from "./gradient-rules.ts";
import { type Sample, evaluate, sampleTensor } from "./testing.ts";

interface Check {
  /** Shapes of the differentiable inputs. */
  readonly shapes: readonly (readonly number[])[];
  readonly build: (...inputs: Value[]) => Value;
  readonly low?: number;
  readonly high?: number;
  /** Ops without float64 kernels are checked in float32, with a wider step and tolerance. */
  readonly dtype?: "float32" | "float64";
}

const f32 = { dtype: "float32" } as const;
const positive = { low: 0.3, high: 2 } as const;
const indices = (x: Value, data: number[]): Value => x.graph.constant(int64(data));

/** At least one check per gradient rule; the key is the rule's op, a suffix after "/" tells variants apart. */
const CHECKS: Readonly<Record<string, Check>> = {
  Add: { shapes: [[2, 3], [3]], build: (a, b) => ops.add(a, b) },
  Sub: { shapes: [[3], [2, 3]], build: (a, b) => ops.sub(a, b) },
  Mul: {
    shapes: [
      [2, 1, 3],
      [4, 1],
    ],
    build: (a, b) => ops.mul(a, b),
  },
  Div: {
    shapes: [
      [2, 3],
      [1, 3],
    ],
    build: (a, b) => ops.div(a, b),
    ...positive,
  },
  Pow: { shapes: [[2, 3]], build: (x) => ops.pow(x, 3) },
  Max: {
    shapes: [
      [2, 3],
      [2, 3],
    ],
    build: (a, b) => ops.maximum(a, b),
  },
  Min: { shapes: [[2, 3], [3]], build: (a, b) => ops.minimum(a, b) },
  Where: { shapes: [[2, 3], [3]], build: (a, b) => ops.where(ops.greater(a, 0.1), a, b) },
  Neg: { shapes: [[4]], build: ops.neg },
  Abs: { shapes: [[4]], build: ops.abs },
  Exp: { shapes: [[4]], build: ops.exp },
  Log: { shapes: [[4]], build: ops.log, ...positive },
  Sqrt: { shapes: [[4]], build: ops.sqrt, ...positive },
  Reciprocal: { shapes: [[4]], build: ops.reciprocal, ...positive },
  Sin: { shapes: [[4]], build: ops.sin },
  Cos: { shapes: [[4]], build: ops.cos },
  Tanh: { shapes: [[4]], build: ops.tanh },
  Sigmoid: { shapes: [[4]], build: ops.sigmoid },
  Erf: { shapes: [[4]], build: ops.erf, ...f32 },
  Relu: { shapes: [[5]], build: ops.relu },
  Clip: { shapes: [[6]], build: (x) => ops.clip(x, -0.5, 0.5) },
  Cast: { shapes: [[4]], build: (x) => ops.cast(ops.cast(x, "float64"), "float32"), ...f32 },
  Identity: { shapes: [[4]], build: (x) => x.graph.emit("Identity", [x], [x])[0]! },
  "Gelu/tanh": { shapes: [[6]], build: (x) => ops.gelu(x, "tanh"), ...f32 },
  "Gelu/none": { shapes: [[6]], build: (x) => ops.gelu(x, "none"), ...f32 },
  Reshape: { shapes: [[2, 6]], build: (x) => ops.reshape(x, [3, -1]) },
  Transpose: { shapes: [[2, 3, 4]], build: (x) => ops.transpose(x, [2, 0, 1]) },
  Concat: {
    shapes: [
      [2, 3],
      [2, 2],
    ],
    build: (a, b) => ops.concat([a, b], 1),
  },
  Split: {
    shapes: [[2, 6]],
    build: (x) => {
      const [a, , c] = ops.split(x, 1, [1, 2, 3]);
      return ops.mul(a!, c!);
    },
  },
  Slice: { shapes: [[4, 5]], build: (x) => ops.slice(ops.slice(x, 0, 1, 3), 1, 0, -2) },
  Expand: { shapes: [[3, 1]], build: (x) => ops.expand(x, [2, 3, 4]) },
  Pad: { shapes: [[2, 3]], build: (x) => ops.pad(x, [0, 1], [2, 0]) },
  Gather: { shapes: [[4, 3]], build: (x) => ops.gather(x, indices(x, [2, 0, 2])) },
  Resize: { shapes: [[1, 2, 3, 2]], build: (x) => ops.upsampleNearest(x, [1, 1, 2, 3]), ...f32 },
  ReduceSum: { shapes: [[2, 3, 4]], build: (x) => ops.sum(x, [0, 2]) },
  ReduceMean: { shapes: [[2, 3, 4]], build: (x) => ops.mean(x, [1], { keepDims: false }) },
  ReduceMax: { shapes: [[3, 4]], build: (x) => ops.max(x, [1]) },
  ReduceMin: { shapes: [[3, 4]], build: (x) => ops.min(x, [0], { keepDims: false }) },
  Softmax: { shapes: [[3, 5]], build: (x) => ops.softmax(x) },
  MatMul: {
    shapes: [
      [2, 3, 4],
      [4, 5],
    ],
    build: (a, b) => ops.matmul(a, b),
  },
  "Gemm/linear": { shapes: [[2, 3, 4], [5, 4], [5]], build: (x, w, b) => ops.linear(x, w, b) },
  "Gemm/plain": {
    shapes: [
      [3, 4],
      [4, 5],
    ],
    build: (a, b) => ops.gemm(a, b),
  },
  "Gemm/transA": {
    shapes: [
      [4, 3],
      [4, 5],
    ],
    build: (a, b) => ops.gemm(a, b, null, { transA: true }),
  },
  "Gemm/both": {
    shapes: [
      [4, 3],
      [5, 4],
    ],
    build: (a, b) => ops.gemm(a, b, null, { transA: true, transB: true }),
  },
  "Conv/causal3d": {
    shapes: [[2, 2, 3, 4, 3], [3, 2, 3, 3, 3], [3]],
    build: (x, w, b) => ops.conv(x, w, b, { padsBefore: [2, 1, 1], padsAfter: [0, 1, 1] }),
    ...f32,
  },
  "Conv/strided": {
    shapes: [[2, 2, 6, 5], [3, 2, 3, 3], [3]],
    build: (x, w, b) => ops.conv(x, w, b, { strides: [2, 2], padsAfter: [1, 1] }),
    ...f32,
  },
  "Conv/patches": {
    shapes: [
      [1, 3, 2, 4, 4],
      [5, 3, 1, 2, 2],
    ],
    build: (x, w) => ops.conv(x, w, null, { strides: [1, 2, 2] }),
    ...f32,
  },
  LayerNormalization: {
    shapes: [
      [2, 3, 6],
      [2, 1, 6],
      [2, 1, 6],
    ],
    build: (x, s, b) => ops.layerNorm(x, s, b, 1e-6),
    ...f32,
  },
  SimplifiedLayerNormalization: {
    shapes: [[2, 3, 6], [6]],
    build: (x, s) => ops.rmsNorm(x, s, 1e-6),
    ...f32,
  },
  RotaryEmbedding: {
    shapes: [[2, 3, 8]],
    build: (x) => ops.rotary(x, table(x, Math.cos), table(x, Math.sin), 2),
    ...f32,
  },
  MultiHeadAttention: {
    shapes: [
      [2, 3, 8],
      [2, 5, 8],
      [2, 5, 8],
    ],
    build: (q, k, v) => ops.attention(q, k, v, 2),
    ...f32,
  },
  "float64 layerNorm": { shapes: [[2, 6], [6], [6]], build: (x, s, b) => ops.layerNorm(x, s, b, 1e-6) },
  "float64 rmsNorm": { shapes: [[2, 6], [6]], build: (x, s) => ops.rmsNorm(x, s, 1e-6) },
  "float64 rotary": {
    shapes: [[2, 3, 8]],
    build: (x) => ops.rotary(x, table(x, Math.cos), table(x, Math.sin), 2),
  },
  "float64 attention": {
    shapes: [
      [2, 3, 8],
      [2, 5, 8],
      [2, 5, 8],
    ],
    build: (q, k, v) => ops.attention(q, k, v, 2),
  },
};

/** Angles 0.3 · position · (pair + 1) of 3 positions and 2 pairs. */
function table(x: Value, wave: (angle: number) => number): Value {
  const angles = Float64Array.from({ length: 6 }, (_, i) => wave(0.3 * Math.floor(i / 2) * ((i % 2) + 1)));
  const data = { shape: [3, 2], dtype: x.dtype } as const;
  return x.graph.constant(
    x.dtype === "float64"
      ? { ...data, dtype: "float64", data: angles }
      : { ...data, dtype: "float32", data: Float32Array.from(angles) },
  );
}

/** Slope of sum(weights · f) along a random direction: by the rule table, and by central differences. */
async function slopes({
  shapes,
  build,
  low = -1,
  high = 1,
  dtype = "float64",
}: Check): Promise<[number, number]> {
  const graph = new Graph(dtype);
  const inputs = shapes.map((shape, i) => graph.input(`x${i}`, shape));
  const y = build(...inputs);
  const weights = graph.constant(sampleTensor(y.shape, 77, { dtype }) as Tensor);
  const loss = ops.sum(ops.mul(y, weights));
  graph.output("loss", loss);
  ops.gradients(loss, inputs).forEach((gradient, i) => graph.output(`g${i}`, gradient));
  const point = shapes.map((shape, i) => sampleTensor(shape, i + 1, { low, high, dtype }));
  const direction = shapes.map((shape, i) => sampleTensor(shape, i + 101, { dtype }));
  const feeds = (step: number): Record<string, Tensor> =>
    Object.fromEntries(point.map((x, i) => [`x${i}`, moved(x, direction[i]!, step)]));
  const step = dtype === "float64" ? 1e-6 : 4e-3;
  const lossAt = async (t: number): Promise<number> =>
    Number((await evaluate(graph, feeds(t)))["loss"]!.data[0]);
  const at = await evaluate(graph, feeds(0));
  const analytic = direction.reduce((total, d, i) => total + dot(d.data, at[`g${i}`]!.data), 0);
  return [analytic, ((await lossAt(step)) - (await lossAt(-step))) / (2 * step)];
}

function moved(from: Sample, direction: Sample, step: number): Tensor {
  const out = { ...from, data: from.data.slice() };
  for (let i = 0; i < out.data.length; i++) out.data[i]! += step * direction.data[i]!;
  return out as Tensor;
}

function dot(a: ArrayLike<number>, b: ArrayLike<number | bigint>): number {
  let total = 0;
  for (let i = 0; i < a.length; i++) total += a[i]! * Number(b[i]);
  return total;
}

describe("gradient rules against central differences", () => {
  test.each(Object.entries(CHECKS))("%s", async (_name, check) => {
    const [analytic, numeric] = await slopes(check);
    const tolerance = check.dtype === "float32" ? 3e-3 : 1e-7;
    expect(Math.abs(analytic)).toBeGreaterThan(1e-3);
    expect(Math.abs(analytic - numeric)).toBeLessThan(tolerance * Math.max(1, Math.abs(numeric)));
  });

  test("every rule has a check", () => {
    const checked = new Set(Object.keys(CHECKS).map((name) => name.split("/")[0]));
    expect(Object.keys(GRADIENT_RULES).filter((op) => !checked.has(op))).toEqual([]);
  });

  test("a path without a rule is refused by name", () => {
    const graph = new Graph();
    const x = graph.input("x", [3]);
    expect(() => ops.gradients(ops.sum(ops.floor(x)), [x])).toThrow("no gradient rule for Floor");
  });

  test("an unrelated target is refused", () => {
    const graph = new Graph();
    const [x, y] = [graph.input("x", [3]), graph.input("y", [3])];
    expect(() => ops.gradients(ops.sum(x), [y])).toThrow("does not depend on y");
  });
});
