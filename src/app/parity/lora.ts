/** LoRA files merged into the denoiser's weights, and added to its graph, against the published merge. */
import { dirname, join, resolve } from "node:path";
import { z } from "zod";
import { Graph } from "../../graph/index.ts";
import { LORA_TARGETS, addLora } from "../../models/layers/lora.ts";
import { type LoraWeights, mergeLora, parseLora } from "../../models/layers/lora-merge.ts";
import { type WanDiTConfig } from "../../models/wan-dit/config.ts";
import { wanDiT } from "../../models/wan-dit/model.ts";
import { type Checkpoint, openSafetensors } from "../../runtime/safetensors.ts";
import { type Tensor } from "../../tensor/tensor.ts";
import {
  type DitFeeds,
  declareCase,
  ditConfigSchema,
  modelSchema,
  prepare,
  readCaseInputs,
  wanDiTConfig,
} from "./dit-fixture.ts";
import { type ParityCheck, compare, parityRow, readConfig } from "./rows.ts";

const MERGED_TOLERANCE = 1e-6;
const OUTPUT_TOLERANCE = 2e-5;

const configSchema = z.object({
  rank: z.number().int().positive(),
  /** Path from the fixture's folder. */
  weights: z.string(),
  /** "path, case NAME (…)": the case of the dit fixture whose inputs are used. */
  inputs: z.string().regex(/^[^,]+, case \w+/),
});

type Weights = ReadonlyMap<string, Tensor<"float32">>;

export const loraCheck: ParityCheck = {
  folder: "lora",
  async run(dir) {
    const { rank, weights: path, inputs } = await readConfig(dir, configSchema);
    const [inputPath, caseName] = inputs.split(/, case | /, 2) as [string, string];
    const { config, feeds } = await openCase(resolve(dir, inputPath), caseName);
    const base = await readAll(await openSafetensors(resolve(dir, path)));
    const golden = await openSafetensors(join(dir, "outputs.safetensors"));
    const peft = parseLora(await readAll(await openSafetensors(join(dir, "lora_peft.safetensors"))));
    const open = parseLora(await readAll(await openSafetensors(join(dir, "lora_open_format.safetensors"))));

    const rows = [parityRow("open format equals PEFT's", numDifferent(open, peft), 0)];
    for (const name of golden.tensors.keys()) {
      const [, alpha, key] = /^alpha([\d.]+)\.(?:merged\.(.+)|output)$/.exec(name) ?? [];
      if (alpha === undefined) {
        rows.push(parityRow(`${name} (unknown tensor)`, Infinity, OUTPUT_TOLERANCE));
        continue;
      }
      const merged = mergeLora(base, peft, Number(alpha));
      const expected = await golden.readTensor(name);
      if (key !== undefined) {
        rows.push(compare(name, merged.get(key)!, expected, "absolute", MERGED_TOLERANCE));
        continue;
      }
      const plain = await velocity(config, feeds, merged, null);
      rows.push(compare(name, plain, expected, "relative", OUTPUT_TOLERANCE));
      const inGraph = await velocity(config, feeds, base, { lora: peft, rank, scale: Number(alpha) });
      rows.push(compare(`${name} (pairs in the graph)`, inGraph, expected, "relative", OUTPUT_TOLERANCE));
    }
    return rows;
  },
};

async function openCase(inputPath: string, name: string): Promise<{ config: WanDiTConfig; feeds: DitFeeds }> {
  const dit = await readConfig(dirname(inputPath), ditConfigSchema);
  const { overrides, inputs } = dit.cases[name]!;
  const feeds = await readCaseInputs(await openSafetensors(inputPath), name, inputs);
  const model = modelSchema.parse({ ...dit.model_config, ...overrides });
  return { config: wanDiTConfig(model, feeds.clipFeature.shape.at(-1)!), feeds };
}

async function readAll(checkpoint: Checkpoint): Promise<Weights> {
  const tensors = new Map<string, Tensor<"float32">>();
  for (const name of checkpoint.tensors.keys()) tensors.set(name, await checkpoint.readFloat32(name));
  return tensors;
}

/** Elements in which the pairs of `some` differ from those of `all`. */
function numDifferent(some: LoraWeights, all: LoraWeights): number {
  let count = some.pairs.size === 0 ? Infinity : 0;
  for (const [key, { a, b }] of some.pairs) {
    const other = all.pairs.get(key);
    count += other
      ? compare(key, a, other.a, "unequal", 0).error + compare(key, b, other.b, "unequal", 0).error
      : Infinity;
  }
  return count;
}

/** The denoiser's output with the given weights, and with low-rank pairs in its graph if there are any. */
async function velocity(
  config: WanDiTConfig,
  feeds: DitFeeds,
  weights: Weights,
  pairs: { lora: LoraWeights; rank: number; scale: number } | null,
): Promise<Tensor> {
  const graph = new Graph();
  graph.output("velocity", wanDiT(graph.scope(), config, declareCase(graph, config, feeds)).velocity);
  const all = new Map(weights);
  if (pairs) {
    for (const [key, { a, b }] of addLora(graph, { ...pairs, targets: LORA_TARGETS })) {
      const pair = pairs.lora.pairs.get(key)!;
      all.set(a.name, pair.a);
      all.set(b.name, pair.b);
    }
  }
  const engine = await prepare(graph, Object.fromEntries(all));
  const fed = Object.entries(feeds).filter(([name]) => graph.inputs.has(name));
  const result = await engine.run(Object.fromEntries(fed));
  await engine.release();
  return result["velocity"]!;
}
