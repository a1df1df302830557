/**
 * Speed on this machine, all in one run: `npm run bench [-- --threads N]`. Shares are of the matrix-product peak
 * measured just before and just after each figure, because machines change speed.
 */
import { parseArgs } from "node:util";
import { cpus } from "node:os";
import { addLora, LORA_TARGETS } from "../src/models/layers/lora.ts";
import { buildWanDiT, declareInputs } from "../src/models/wan-dit/build.ts";
import { type KvSharing } from "../src/models/wan-dit/kv-sharing.ts";
import { wanDiT } from "../src/models/wan-dit/model.ts";
import { WAN_VAE } from "../src/models/wan-vae/config.ts";
import { buildVaeDecoder } from "../src/models/wan-vae/model.ts";
import { type Value, countFlops, gradients, Graph, mean, mul, serialize, sub } from "../src/graph/index.ts";
import { Engine } from "../src/runtime/engine.ts";
import { matmulSpeed } from "../src/runtime/measure.ts";
import { blockwiseCost } from "../src/training/blockwise-cost.ts";
import { type BlockwiseModel, blockwiseGraphs } from "../src/training/blockwise-graphs.ts";
import { compileBlockwiseStep } from "../src/training/blockwise-step.ts";
import { type Params } from "../src/training/train.ts";
import { BLOCK_MODEL, BLOCK_SHAPE, randomFeeds } from "./published-block.ts";
import { medianSeconds } from "./stopwatch.ts";

const { values } = parseArgs({
  options: { threads: { type: "string", default: "1" }, runs: { type: "string", default: "3" } },
});
const threads = Number(values.threads);
const numRuns = Number(values.runs);

/** Seconds of one run of a graph with random weights. */
async function timeGraph(graph: Graph): Promise<number> {
  const feeds = randomFeeds(graph);
  const engine = await Engine.create(serialize(graph), { threads, inputs: feeds });
  try {
    return await medianSeconds(numRuns, () => engine.run({}, { outputs: [[...graph.outputs.keys()][0]!] }));
  } finally {
    await engine.release();
  }
}

/** Measures and prints. @returns seconds */
async function report(name: string, flops: number, time: () => Promise<number>): Promise<number> {
  const before = await matmulSpeed({ threads });
  const seconds = await time();
  const peak = (before + (await matmulSpeed({ threads }))) / 2;
  const speed = flops / seconds / 1e9;
  console.log(
    `${name.padEnd(34)} ${(flops / 1e9).toFixed(1).padStart(7)} GFLOP ${seconds.toFixed(3).padStart(8)} s ` +
      `${speed.toFixed(0).padStart(5)} GFLOPS  ${((100 * speed) / peak).toFixed(0).padStart(3)} % of ${peak.toFixed(0)}`,
  );
  return seconds;
}

function reportGraph(name: string, graph: Graph): Promise<number> {
  return report(name, countFlops(graph), () => timeGraph(graph));
}

const lora = { rank: 16, scale: 1, targets: LORA_TARGETS };
const isFinetuned = (key: string): boolean => /lora_[AB]|patch_embedding/.test(key);

function meanSquaredError(velocity: Value): Value {
  const error = sub(velocity, velocity.graph.input("target", velocity.shape));
  return mean(mul(error, error));
}

/** The denoiser's forward pass, mean squared velocity error as loss, and its gradients. */
function trainingStep(withLora: boolean): Graph {
  const graph = new Graph();
  const { velocity } = wanDiT(graph.scope(), BLOCK_MODEL, declareInputs(graph, BLOCK_MODEL, BLOCK_SHAPE));
  if (withLora) addLora(graph, lora);
  const loss = meanSquaredError(velocity);
  graph.output("loss", loss);
  const trained = [...graph.params.values()].filter(({ name }) => !withLora || isFinetuned(name));
  gradients(loss, trained).forEach((gradient, i) => graph.output(`gradient:${trained[i]!.name}`, gradient));
  return graph;
}

/** The same LoRA step, one block at a time. */
async function reportBlockwiseStep(name: string): Promise<number> {
  const model: BlockwiseModel = {
    config: BLOCK_MODEL,
    scope: "",
    inputs: (graph) => declareInputs(graph, BLOCK_MODEL, BLOCK_SHAPE),
    loss: meanSquaredError,
  };
  const settings = { blocksPerRange: 1, lora, isTrainable: isFinetuned };
  const { flops } = blockwiseCost(blockwiseGraphs(model, settings));
  const feeds = randomFeeds(trainingStep(true));
  const step = await compileBlockwiseStep(model, { ...settings, frozen: null, threads });
  try {
    const seconds = () => medianSeconds(numRuns, () => step.run(feeds as Params, feeds));
    return await report(name, flops, seconds);
  } finally {
    await step.release();
  }
}

/** One of the two blocks shares, as a base segment's positive pass does. */
function sharing(blocks: readonly number[]): KvSharing {
  return { role: "share", mode: "paper", branch: "positive", blocks, maxMapBlock: 10 };
}

console.log(`${cpus()[0]?.model ?? "unknown processor"}, ${threads} of ${cpus().length} threads, float32`);
console.log(`matrix product peak ${(await matmulSpeed({ threads })).toFixed(0)} GFLOPS\n`);

const plain = await reportGraph("denoiser, published block shape", buildWanDiT(BLOCK_MODEL, BLOCK_SHAPE));
const shared = await reportGraph(
  "the same, one of two blocks shared",
  buildWanDiT(BLOCK_MODEL, BLOCK_SHAPE, sharing([1])),
);
const extraPerBlock = (shared - plain) / (plain / BLOCK_MODEL.numLayers);
// The published presets: shared steps and blocks of 25 steps and 40 blocks.
for (const [shot, steps, blocks] of [
  ["half body", 2, 6],
  ["full body", 4, 8],
  ["distant", 4, 10],
] as const) {
  const extra = (extraPerBlock * steps * blocks) / (25 * 40);
  console.log(`  sharing, ${shot}: ${(100 * extra).toFixed(2)} % more time for a whole segment`);
}
await reportGraph("LoRA training step, rank 16", trainingStep(true));
await reportBlockwiseStep("the same, block by block");
await reportGraph("full training step", trainingStep(false));
const chunk = { position: "next", numLatentFrames: 1, latentHeight: 16, latentWidth: 24 } as const;
await reportGraph("published VAE, 4 frames of 192x128", buildVaeDecoder(WAN_VAE, chunk));
