/** A transformer block of the operations that our networks are made of, to try devices with. */
import {
  Graph,
  type Value,
  add,
  attention,
  embedParams,
  gelu,
  layerNorm,
  linear,
  mul,
  rmsNorm,
  rotary,
  serialize,
} from "../graph/index.ts";
import { Random } from "../tensor/random.ts";
import { type Tensor, sizeOf } from "../tensor/tensor.ts";
import { Engine } from "./engine.ts";
import type { RunnerOptions } from "./runner.ts";

const NUM_TOKENS = 256;
const WIDTH = 512;
const FFN_WIDTH = 4 * WIDTH;
const NUM_HEADS = 8;
const EPSILON = 1e-6;
const NUM_RUNS = 5;

export interface BlockTrial {
  /** Of the quickest run, the transfer of its input and output included. */
  readonly durationMs: number;
  /** Against float64, relative to the size of what the block adds to its tokens. */
  readonly error: number;
}

/**
 * Runs one block of width 512 over 256 tokens in float32: norm, rotary attention and feed-forward layers. Blocks the
 * calling thread.
 * @throws Error when the device cannot be used
 */
export async function tryBlock(options: Pick<RunnerOptions, "device" | "threads"> = {}): Promise<BlockTrial> {
  const exact = await run("float64", {}, 1);
  const { result, durationMs } = await run("float32", options, NUM_RUNS);
  const input = valuesOf("x", [NUM_TOKENS, WIDTH]);
  let [noise, power] = [0, 0];
  result.forEach((y, i) => {
    noise += (y - exact.result[i]!) ** 2;
    power += (exact.result[i]! - input[i]!) ** 2;
  });
  return { durationMs, error: Math.sqrt(noise / power) };
}

type Values = Float32Array | Float64Array;

async function run(
  dtype: "float32" | "float64",
  options: Pick<RunnerOptions, "device" | "threads">,
  numRuns: number,
): Promise<{ result: Values; durationMs: number }> {
  const graph = build(dtype);
  const tensorOf = (name: string, shape: readonly number[]): Tensor => {
    const data = valuesOf(name, shape);
    return dtype === "float32" ? { dtype, shape, data } : { dtype, shape, data: Float64Array.from(data) };
  };
  embedParams(graph, new Map([...graph.params].map(([key, { shape }]) => [key, tensorOf(key, shape)])));
  const engine = await Engine.create(serialize(graph), { ...options, name: "transformer block" });
  try {
    const feeds = { x: tensorOf("x", graph.inputs.get("x")!.shape) };
    let result: Values = new Float32Array();
    let durationMs = Infinity;
    for (let i = 0; i < numRuns; i++) {
      const begin = performance.now();
      result = (await engine.run(feeds))["y"]!.data as Values;
      durationMs = Math.min(durationMs, performance.now() - begin);
    }
    return { result, durationMs };
  } finally {
    await engine.release();
  }
}

/** x + attention(norm(x)), and the feed-forward layers over that. */
function build(dtype: "float32" | "float64"): Graph {
  const graph = new Graph(dtype);
  const x = graph.input("x", [1, NUM_TOKENS, WIDTH]);
  const dense = (name: string, input: Value, out: number): Value =>
    linear(input, graph.param(`${name}.weight`, [out, input.dim(-1)]), graph.param(`${name}.bias`, [out]));
  const norm = (name: string, input: Value): Value =>
    layerNorm(input, graph.param(`${name}.scale`, [WIDTH]), graph.param(`${name}.bias`, [WIDTH]), EPSILON);
  const pairs = WIDTH / NUM_HEADS / 2;
  const [cos, sin] = ["cos", "sin"].map((name) => graph.param(name, [NUM_TOKENS, pairs])) as [Value, Value];
  const turned = (name: string, input: Value): Value => {
    const scaled = rmsNorm(dense(name, input, WIDTH), graph.param(`${name}.scale`, [WIDTH]), EPSILON);
    return rotary(scaled, cos, sin, NUM_HEADS);
  };
  const read = norm("norm1", x);
  const seen = attention(turned("q", read), turned("k", read), dense("v", read, WIDTH), NUM_HEADS);
  const attended = add(x, mul(dense("o", seen, WIDTH), graph.param("gate", [WIDTH])));
  const hidden = gelu(dense("ffn.0", norm("norm2", attended), FFN_WIDTH), "tanh");
  graph.output("y", add(attended, dense("ffn.2", hidden, WIDTH)));
  return graph;
}

/** Float32 values of an input or parameter: the same in both precisions. */
function valuesOf(name: string, shape: readonly number[]): Float32Array {
  if (name === "cos" || name === "sin") {
    const [, pairs] = shape as [number, number];
    return Float32Array.from({ length: sizeOf(shape) }, (_, i) =>
      Math[name](Math.floor(i / pairs) * 10_000 ** -((i % pairs) / pairs)),
    );
  }
  const scale = name.endsWith(".weight") ? 1 / Math.sqrt(shape[1]!) : 1;
  return new Random(`probe ${name}`).normals(sizeOf(shape)).map((value) => scale * value);
}
