/** What each precision costs on the golden denoiser: error of the velocity, relative to its root mean square. */
import { fileURLToPath } from "node:url";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import {
  Graph,
  embedParams,
  linearGroups,
  observeLinears,
  observedName,
  quantizeLinears,
  serialize,
} from "../../graph/index.ts";
import { quantizedParams, smoothingParams } from "../../models/layers/int8-linears.ts";
import { INT8_TARGETS, quantizeWeight, searchSmoothing } from "../../models/layers/smooth-quant.ts";
import { wanDiT } from "../../models/wan-dit/model.ts";
import { Engine } from "../../runtime/engine.ts";
import { int8Saturates } from "../../runtime/int8-check.ts";
import { openSafetensors } from "../../runtime/safetensors.ts";
import { fromBlocks, toBlocks } from "../../tensor/block-wise.ts";
import { fromFloat32, toFloat32 } from "../../tensor/float16.ts";
import { type Tensor, float32 } from "../../tensor/tensor.ts";
import {
  type DitFeeds,
  declareCase,
  ditConfigSchema,
  modelSchema,
  readCaseInputs,
  wanDiTConfig,
} from "./dit-fixture.ts";
import { readConfig } from "./rows.ts";

const FOLDER = fileURLToPath(new URL("../../../fixtures/dit", import.meta.url));
const CASE = "main_t1";

type Weights = ReadonlyMap<string, Tensor<"float32">>;

let feeds: DitFeeds;
let golden: Tensor<"float32">;
let weights: Weights;
let build: () => Graph;

beforeAll(async () => {
  const config = await readConfig(FOLDER, ditConfigSchema);
  const { overrides, inputs } = config.cases[CASE]!;
  feeds = await readCaseInputs(await openSafetensors(join(FOLDER, "inputs.safetensors")), CASE, inputs);
  const model = modelSchema.parse({ ...config.model_config, ...overrides });
  const architecture = wanDiTConfig(model, feeds.clipFeature.shape.at(-1)!);
  build = () => {
    const graph = new Graph();
    graph.output(
      "velocity",
      wanDiT(graph.scope(), architecture, declareCase(graph, architecture, feeds)).velocity,
    );
    return graph;
  };
  golden = await (await openSafetensors(join(FOLDER, "outputs.safetensors"))).readFloat32(`${CASE}.output`);
  const file = await openSafetensors(join(FOLDER, "weights.safetensors"));
  const read = new Map<string, Tensor<"float32">>();
  for (const key of build().params.keys()) read.set(key, await file.readFloat32(key));
  weights = read;
});

async function run(graph: Graph, values: Weights): Promise<Record<string, Tensor>> {
  const given = Object.entries(feeds).filter(([name]) => graph.inputs.has(name));
  const params = [...graph.params.keys()].map((key) => [key, values.get(key)!] as const);
  const exactInt8 = await int8Saturates();
  const engine = await Engine.create(serialize(graph), { exactInt8, inputs: Object.fromEntries(params) });
  const results = await engine.run(Object.fromEntries(given));
  await engine.release();
  return results;
}

function errorOf(velocity: Tensor | undefined): number {
  let [noise, power] = [0, 0];
  (velocity!.data as Float32Array).forEach((x, i) => {
    noise += (x - golden.data[i]!) ** 2;
    power += golden.data[i]! ** 2;
  });
  return Math.sqrt(noise / power);
}

const inBlocks = (bits: 8 | 4) => (data: Float32Array) => fromBlocks(toBlocks(data, bits), bits);
const rounded = (dtype: "float16" | "bfloat16") => (data: Float32Array) =>
  toFloat32(fromFloat32(float32(data), dtype), "").data;

test.each<[string, (data: Float32Array) => Float32Array, least: number, most: number]>([
  ["float32", (data) => data, 0, 1e-6],
  ["float16", rounded("float16"), 0, 1e-6],
  ["bfloat16, which the golden weights are", rounded("bfloat16"), 0, 1e-6],
  ["blocks of 8 bits", inBlocks(8), 5e-3, 9e-3],
  ["blocks of 4 bits", inBlocks(4), 5e-2, 1e-1],
])("weights in %s", async (_, store, least, most) => {
  const stored = [...weights].map(([key, { data, shape }]) => {
    const isStored = INT8_TARGETS.test(key);
    return [key, float32(isStored ? store(data) : data, shape)] as const;
  });
  const { velocity } = await run(build(), new Map(stored));
  const error = errorOf(velocity);
  expect(error).toBeGreaterThanOrEqual(least);
  expect(error).toBeLessThan(most);
});

test("linear layers in int8, smoothed by their own activations", async () => {
  const observed = build();
  observeLinears(observed, linearGroups(observed, INT8_TARGETS));
  const rows = await run(observed, weights);
  const graph = build();
  const groups = linearGroups(graph, INT8_TARGETS);
  const constants = new Map<string, Tensor>();
  for (const { name, weights: keys } of groups) {
    const matrices = keys.map((key) => weights.get(key)!);
    const smoothing = searchSmoothing([rows[observedName(name)] as Tensor<"float32">], matrices);
    for (const [param, value] of smoothingParams(name, smoothing)) constants.set(param, value);
    keys.forEach((key, i) => {
      const quantized = quantizeWeight(matrices[i]!, smoothing);
      for (const [param, value] of quantizedParams(key, quantized)) constants.set(param, value);
    });
  }
  quantizeLinears(graph, groups);
  embedParams(graph, constants);
  const { velocity } = await run(graph, weights);
  expect(errorOf(velocity)).toBeLessThan(6e-3);
  expect(errorOf(velocity)).toBeGreaterThan(2e-3);
});
