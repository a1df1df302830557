import { expect, test } from "vitest";
import {
  Graph,
  linear,
  linearGroups,
  observeLinears,
  observedName,
  quantizeLinears,
} from "../../graph/index.ts";
import { type Feeds, evaluate } from "../../graph/testing.ts";
import { Random } from "../../tensor/random.ts";
import { type Tensor, float32, sizeOf } from "../../tensor/tensor.ts";
import { quantizedParams, smoothingParams } from "./int8-linears.ts";
import { addLora } from "./lora.ts";
import { type Smoothing, quantizeWeight, searchSmoothing } from "./smooth-quant.ts";

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

/** Every eighth channel is 30 times larger than the others, and every channel lies around a mean of its own. */
const x = normals("x", [2, ROWS / 2, WIDTH]);
const means = normals("means", [WIDTH], 3).data;
x.data.forEach((_, i) => (x.data[i] = (x.data[i]! + means[i % WIDTH]!) * (i % 8 === 0 ? 30 : 1)));
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

/** What the graph gives of the activations, [rows, in]. */
async function observe(): Promise<Tensor<"float32">> {
  const graph = attention();
  const groups = linearGroups(graph, TARGETS);
  observeLinears(graph, groups);
  const results = await evaluate(graph, feedsOf(graph));
  return results[observedName(groups[0]!.name)] as Tensor<"float32">;
}

/** Error of the quantised layers' outputs relative to their size, over both layers. */
async function measure(smoothing: Smoothing, withLora = false): Promise<number> {
  const plain = attention(withLora);
  const expected = await evaluate(plain, feedsOf(plain));
  const graph = attention(withLora);
  const groups = linearGroups(graph, TARGETS);
  quantizeLinears(graph, groups);
  const params = smoothingParams(groups[0]!.name, smoothing);
  for (const key of groups[0]!.weights) {
    const quantized = quantizeWeight(feeds[key] as Tensor<"float32">, smoothing);
    for (const [param, value] of quantizedParams(key, quantized)) params.set(param, value);
  }
  const results = await evaluate(graph, feedsOf(graph, Object.fromEntries(params)));
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

test("rows spread over the activations are observed", async () => {
  const { data, shape } = await observe();
  expect(shape).toEqual([64, WIDTH]);
  for (const [row, source] of [
    [0, 0],
    [1, 2],
    [63, 95],
  ] as const) {
    expect(data.slice(row * WIDTH, (row + 1) * WIDTH)).toEqual(
      x.data.slice(source * WIDTH, (source + 1) * WIDTH),
    );
  }
});

test("the search foresees the error that is measured, and finds a much smaller one", async () => {
  const rows = await observe();
  const found = searchSmoothing([rows], weights);
  const measured = await measure(found);
  expect(found.alpha).not.toBeNull();
  expect(measured / found.error).toBeGreaterThan(0.85);
  expect(measured / found.error).toBeLessThan(1.15);
  expect(measured).toBeLessThan(0.015);
  const [zeros, ones] = [new Float32Array(WIDTH), new Float32Array(WIDTH).fill(1)];
  expect(measured).toBeLessThan(0.6 * (await measure({ ...found, factors: ones })));
  expect(measured).toBeLessThan(0.6 * (await measure({ ...found, mean: zeros })));
});

test("low-rank pairs stay in float32 beside the quantised weight", async () => {
  expect(await measure(searchSmoothing([await observe()], weights), true)).toBeLessThan(0.015);
});

test("a small row keeps its precision beside large ones", async () => {
  const rows = 4;
  const graph = new Graph();
  const key = "attn.q.weight";
  graph.output("y", linear(graph.input("x", [rows, WIDTH]), graph.param(key, [OUT.q, WIDTH])));
  quantizeLinears(graph, linearGroups(graph, TARGETS));
  const smoothing = {
    mean: new Float32Array(WIDTH),
    factors: new Float32Array(WIDTH).fill(1),
    zeroPoint: 120,
  };
  const weight = feeds[key] as Tensor<"float32">;
  const quantized = quantizeWeight(weight, smoothing);
  const scales = [1, 1e-6, 1e6, 0];
  const one = normals("row", [WIDTH]).data;
  const results = await evaluate(graph, {
    x: float32(
      scales.flatMap((scale) => [...one].map((v) => scale * v)),
      [rows, WIDTH],
    ),
    ...Object.fromEntries([...smoothingParams("attn.q.", smoothing), ...quantizedParams(key, quantized)]),
  });
  const y = results["y"]!.data as Float32Array;
  for (let i = 0; i < OUT.q; i++) {
    const exact = one.reduce((sum, v, j) => sum + v * weight.data[i * WIDTH + j]!, 0);
    scales.forEach((scale, row) =>
      expect(Math.abs(y[row * OUT.q + i]! - scale * exact)).toBeLessThanOrEqual(0.25 * scale),
    );
  }
});

test("levels go where the values lie", () => {
  const found = (sign: number) =>
    searchSmoothing(
      [{ ...x, shape: [ROWS, WIDTH], data: x.data.map((v) => sign * Math.exp(v / 40)) }],
      weights,
    );
  // Centred, these reach much farther to one side.
  expect(found(1).zeroPoint).toBeLessThan(112);
  expect(found(-1).zeroPoint).toBeGreaterThan(143);
});

test("channels and columns of zeros are no exception", () => {
  const rows = float32([0, 0, 0, 1], [2, 2]);
  const weight = float32([0, 0, 1, 2], [2, 2]);
  const found = searchSmoothing([rows], [weight]);
  expect(found.error).toBeLessThan(0.01);
  const { values, scale } = quantizeWeight(weight, found);
  expect([scale.data[0], values.data[0], values.data[2]]).toEqual([0, 0, 0]);
});
