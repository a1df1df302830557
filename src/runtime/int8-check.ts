import {
  Graph,
  embedParams,
  linear,
  linearGroups,
  quantizeLinears,
  quantizedKeys,
  serialize,
  smoothingKeys,
} from "../graph/index.ts";
import { type Tensor, float32, tensor } from "../tensor/tensor.ts";
import { Engine } from "./engine.ts";

const [ROWS, WIDTH, OUT] = [8, 8, 32];
/** Beside a zero point of 1, the largest input becomes the largest uint8. */
const [LARGEST_INPUT, LARGEST_WEIGHT] = [254, 127];

let answer: Promise<boolean> | null = null;

/**
 * Whether this processor's products of uint8 and int8 saturate: those without 8-bit dot products add pairs of products
 * in 16 bits. Found by multiplying the largest values, once.
 */
export function int8Saturates(): Promise<boolean> {
  answer ??= multiply({}).then((products) =>
    products.some((x) => x !== WIDTH * LARGEST_INPUT * LARGEST_WEIGHT),
  );
  return answer;
}

/** Sums of 8 products of the largest uint8 and int8 values, [8, 32]. */
export async function multiply(options: { readonly exactInt8?: boolean }): Promise<Float32Array> {
  const graph = new Graph();
  const key = "layer.weight";
  graph.output("y", linear(graph.input("x", [ROWS, WIDTH]), graph.param(key, [OUT, WIDTH])));
  const groups = linearGroups(graph, /weight/);
  quantizeLinears(graph, groups);
  const keys = { ...quantizedKeys(key), ...smoothingKeys(groups[0]!.name) };
  const values = tensor("int8", [WIDTH, OUT], new Int8Array(WIDTH * OUT).fill(LARGEST_WEIGHT));
  embedParams(
    graph,
    new Map<string, Tensor>([
      [keys.values, values],
      [keys.scale, float32(new Float32Array(OUT).fill(1))],
      [keys.offset, float32(new Float32Array(OUT))],
      [keys.mean, float32(new Float32Array(WIDTH))],
      [keys.factors, float32(new Float32Array(WIDTH).fill(1))],
      [keys.zeroPoint, tensor("uint8", [], Uint8Array.of(1))],
    ]),
  );
  const engine = await Engine.create(serialize(graph), { ...options, name: "int8 check" });
  try {
    const x = float32(new Float32Array(ROWS * WIDTH).fill(LARGEST_INPUT), [ROWS, WIDTH]);
    return (await engine.run({ x }))["y"]!.data as Float32Array;
  } finally {
    await engine.release();
  }
}
