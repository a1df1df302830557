/**
 * One training step of phase 1 at the published width (5120, 40 blocks, feed-forward 13,824), block by block, with few
 * tokens: LoRA pairs of rank 16 and the patch embeddings are trained, the frozen weights lie in a sparse bfloat16 file.
 * Its large matrices are zeros, which cost what others cost. Usage:
 *
 *     npx tsx bench/published-training-step.ts [--threads 1] [--blocks 1] [--layers 40] [--latent 8]
 */
import { mkdtemp, rm } from "node:fs/promises";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { mean, mul, sub } from "../src/graph/index.ts";
import { LORA_TARGETS } from "../src/models/layers/lora.ts";
import { type WanDiTShape, buildWanDiT, declareInputs } from "../src/models/wan-dit/build.ts";
import { WAN_DIT_PRESETS, type WanDiTConfig } from "../src/models/wan-dit/config.ts";
import { countTokens } from "../src/models/wan-dit/cost.ts";
import { matmulSpeed, peakMemoryBytes } from "../src/runtime/measure.ts";
import { openSafetensors } from "../src/runtime/safetensors.ts";
import { Random } from "../src/tensor/random.ts";
import { type Tensor, float32, sizeOf } from "../src/tensor/tensor.ts";
import { blockwiseCost } from "../src/training/blockwise-cost.ts";
import { type BlockwiseModel, blockwiseGraphs } from "../src/training/blockwise-graphs.ts";
import { compileBlockwiseStep } from "../src/training/blockwise-step.ts";
import { WAN_DIT_INIT, initialize } from "../src/training/init.ts";
import { adamW, clipGradients } from "../src/training/optimizer.ts";
import { writeSparseCheckpoint } from "./sparse-checkpoint.ts";

const { values } = parseArgs({
  options: {
    threads: { type: "string", default: "1" },
    blocks: { type: "string", default: "1" },
    layers: { type: "string", default: "40" },
    latent: { type: "string", default: "8" },
  },
});
const threads = Number(values.threads);
const side = Number(values.latent);
const config: WanDiTConfig = { ...WAN_DIT_PRESETS.wan14b, numLayers: Number(values.layers) };
/** 5 frames of 8 latents times 8 pixels on each side, by default 64 x 64; text and image tokens as published. */
const shape: WanDiTShape = { latentFrames: 2, latentHeight: side, latentWidth: side };
const model: BlockwiseModel = {
  config,
  scope: "",
  inputs: (graph) => declareInputs(graph, config, shape),
  loss(velocity) {
    const error = sub(velocity, velocity.graph.input("target", velocity.shape));
    return mean(mul(error, error));
  },
};
const settings = {
  blocksPerRange: Number(values.blocks),
  lora: { rank: 16, scale: 1 / 16, targets: LORA_TARGETS },
  isTrainable: (key: string) => /lora_[AB]|patch_embedding/.test(key),
};

const gib = (bytes: number): string => `${(bytes / 2 ** 30).toFixed(2)} GiB`;
const begun = performance.now();
function report(what: string, text = ""): void {
  const seconds = (performance.now() - begun) / 1000;
  console.log(
    `${what.padEnd(34)} ${seconds.toFixed(1).padStart(7)} s, peak ${gib(peakMemoryBytes())} ${text}`.trimEnd(),
  );
}

const random = new Random("published training step");
const graphs = blockwiseGraphs(model, settings);
const cost = blockwiseCost(graphs);
const { video, ref } = countTokens(config, shape);
console.log(`${cpus()[0]?.model ?? "unknown processor"}, ${threads} of ${cpus().length} threads, float32`);
console.log(
  `${config.numLayers} blocks of width ${config.dim} in ranges of ${settings.blocksPerRange}; ${video} video and ` +
    `${ref} reference tokens; ${(cost.flops / 1e12).toFixed(2)} TFLOP a step; ` +
    `${(cost.trainableBytes / 4e6).toFixed(1)} M parameters are trained`,
);

const folder = await mkdtemp(join(tmpdir(), "posegen-step-"));
try {
  const base = join(folder, "base.safetensors");
  const shapes = new Map(
    [...buildWanDiT(config, shape).params].map(([key, param]) => [key, param.shape] as const),
  );
  const fileBytes = await writeSparseCheckpoint(base, shapes, random);
  report("sparse base weights", `(${gib(fileBytes)} if they were full)`);

  const params = initialize(graphs.trainable, { "": WAN_DIT_INIT }, random);
  const arrays = Object.fromEntries(Object.entries(params).map(([key, { data }]) => [key, data]));
  const batch = Object.fromEntries(
    [...graphs.embed.inputs.values(), graphs.head.inputs.get("target")!].map(({ name, shape: size }) => [
      name,
      name === "timestep" ? float32([700]) : (float32(random.normals(sizeOf(size)), size) as Tensor),
    ]),
  );
  const optimizer = adamW();
  const state = optimizer.init(arrays);
  report("parameters and moments");

  const frozen = { checkpoint: await openSafetensors(base), keyOf: (key: string) => key };
  const step = await compileBlockwiseStep(model, { ...settings, frozen, threads });
  report("engines");

  const peakBefore = await matmulSpeed({ threads });
  const begin = performance.now();
  const cpuBegin = process.cpuUsage();
  const { metrics, gradients } = await step.run(params, batch);
  const seconds = (performance.now() - begin) / 1000;
  const { user, system } = process.cpuUsage(cpuBegin);
  const peak = (peakBefore + (await matmulSpeed({ threads }))) / 2;
  const speed = cost.flops / seconds / 1e9;
  report(
    "forward, loss, backward",
    `: ${seconds.toFixed(1)} s (${((user + system) / 1e6).toFixed(1)} s of CPU), ${speed.toFixed(0)} GFLOPS, ${((100 * speed) / peak).toFixed(0)} % of ${peak.toFixed(0)}`,
  );

  const updateBegin = performance.now();
  const norm = clipGradients(gradients, 1);
  await optimizer.update(arrays, gradients, state, 1e-4);
  report("AdamW", `: ${((performance.now() - updateBegin) / 1000).toFixed(1)} s`);
  console.log(
    `loss ${metrics["loss"]!.toFixed(4)}, gradient norm ${norm.toFixed(6)}, ${Object.keys(gradients).length} gradients`,
  );
  await step.release();
} finally {
  await rm(folder, { recursive: true, force: true });
}
