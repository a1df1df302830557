import { expect, test } from "vitest";
import {
  Graph,
  linear,
  linearGroups,
  observeLinears,
  observedName,
  quantizeLinears,
  quantizedKeys,
  smoothingKey,
} from "../../graph/index.ts";
import { type Feeds, evaluate } from "../../graph/testing.ts";
import { Random } from "../../tensor/random.ts";
import { type Tensor, float32, sizeOf } from "../../tensor/tensor.ts";
import { addLora } from "./lora.ts";
import { type ActivationStats, quantizeWeight, searchSmoothing } from "./smooth-quant.ts";

const ROWS = 96;
const WIDTH = 64;
const OUT = { q: 48, k: 32 } as const;
const TARGETS = /\.[qk]\.weight$/;

/** Two layers that read the same activations, as in an attention. */
function attention(withLora = false): Graph {
  const graph = new Graph();
  const x = graph.input("x", [2, ROWS / 2, WIDTH]);
  for (const name of ["q", "k"] as const) {
    const key = `attn.${name}.weight`;
    graph.output(
      name,
      linear(x, graph.param(key, [OUT[name], WIDTH]), graph.param(`${name}.bias`, [OUT[name]])),
    );
  }
  if (withLora) addLora(graph, { rank: 2, scale: 1, targets: /attn\.q\.weight/ });
  return graph;
}

function normals(name: string, shape: readonly number[], scale = 1): Tensor<"float32"> {
  return float32(
    new Random(name).normals(sizeOf(shape)).map((x) => scale * x),
    shape,
  );
}

/** Every eighth channel is 30 times larger than the others. */
const x = normals("x", [2, ROWS / 2, WIDTH]);
x.data.forEach((_, i) => (x.data[i]! *= i % 8 === 0 ? 30 : 1));
const feeds: Feeds = {
  x,
  "attn.q.weight": normals("q", [OUT.q, WIDTH]),
  "attn.k.weight": normals("k", [OUT.k, WIDTH]),
  "q.bias": normals("qb", [OUT.q]),
  "k.bias": normals("kb", [OUT.k]),
  "attn.q.lora_A.weight": normals("a", [2, WIDTH], 0.1),
  "attn.q.lora_B.weight": normals("b", [OUT.q, 2], 0.1),
};

function feedsOf(graph: Graph, more: Feeds = {}): Feeds {
  const all = { ...feeds, ...more };
  return Object.fromEntries(
    [...graph.inputs.keys(), ...graph.params.keys()].map((name) => [name, all[name]!]),
  );
}

const weights = ["attn.q.weight", "attn.k.weight"].map((key) => feeds[key] as Tensor<"float32">);

async function observe(): Promise<ActivationStats> {
  const graph = attention();
  const groups = linearGroups(graph, TARGETS);
  observeLinears(graph, groups);
  const results = await evaluate(graph, feedsOf(graph));
  const of = (what: "min" | "max" | "meanSquare") =>
    results[observedName(groups[0]!.name, what)]!.data as Float32Array;
  return { min: of("min"), max: of("max"), meanSquare: of("meanSquare") };
}

/** Error of the quantised layers' outputs relative to their size, over both layers. */
async function measure(factors: Float32Array, withLora = false): Promise<number> {
  const plain = attention(withLora);
  const expected = await evaluate(plain, feedsOf(plain));
  const graph = attention(withLora);
  const groups = linearGroups(graph, TARGETS);
  quantizeLinears(graph, groups);
  const more: Record<string, Tensor> = { [smoothingKey(groups[0]!.name)]: float32(factors) };
  for (const key of groups[0]!.weights) {
    const { values, scale } = quantizeWeight(feeds[key] as Tensor<"float32">, factors);
    more[quantizedKeys(key).values] = values;
    more[quantizedKeys(key).scale] = scale;
  }
  const results = await evaluate(graph, feedsOf(graph, more));
  const relative = (["q", "k"] as const).map((name) => {
    const bias = feeds[`${name}.bias`]!.data as Float32Array;
    const wanted = expected[name]!.data as Float32Array;
    let [noise, power] = [0, 0];
    wanted.forEach((y, i) => {
      noise += (Number(results[name]!.data[i]) - y) ** 2;
      power += (y - bias[i % bias.length]!) ** 2;
    });
    return noise / power;
  });
  return Math.sqrt((relative[0]! + relative[1]!) / 2);
}

test("layers that read the same activations are one group", () => {
  const [group, ...others] = linearGroups(attention(), TARGETS);
  expect(others).toEqual([]);
  expect(group).toMatchObject({ name: "attn.q.", weights: ["attn.q.weight", "attn.k.weight"] });
  expect(linearGroups(attention(), /\.v\.weight$/)).toEqual([]);
});

test("ranges and mean squares of channels are observed", async () => {
  const stats = await observe();
  const channel = 8;
  const values = Array.from({ length: ROWS }, (_, row) => x.data[row * WIDTH + channel]!);
  expect(stats.min[channel]).toBe(Math.min(...values));
  expect(stats.max[channel]).toBe(Math.max(...values));
  expect(stats.meanSquare[channel]).toBeCloseTo(values.reduce((sum, v) => sum + v * v, 0) / ROWS, 2);
});

test("the search foresees the error that is measured, and finds a much smaller one", async () => {
  const stats = await observe();
  const { factors, alpha, error } = searchSmoothing([stats], weights);
  const measured = await measure(factors);
  expect(alpha).not.toBeNull();
  expect(measured / error).toBeGreaterThan(0.85);
  expect(measured / error).toBeLessThan(1.15);
  expect(measured).toBeLessThan(0.015);
  expect(measured).toBeLessThan(0.5 * (await measure(new Float32Array(WIDTH).fill(1))));
});

test("low-rank pairs stay in float32 beside the quantised weight", async () => {
  const { factors } = searchSmoothing([await observe()], weights);
  expect(await measure(factors, true)).toBeLessThan(0.015);
});

test("channels and columns of zeros are no exception", () => {
  const stats = { min: new Float32Array(2), max: Float32Array.of(0, 1), meanSquare: Float32Array.of(0, 0.5) };
  const weight = float32([0, 0, 1, 2], [2, 2]);
  const { factors, error } = searchSmoothing([stats], [weight]);
  expect(error).toBeLessThan(0.01);
  const { values, scale } = quantizeWeight(weight, factors);
  expect([scale.data[0], values.data[0], values.data[2]]).toEqual([0, 0, 0]);
});
