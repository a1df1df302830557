/**
 * One denoising step of the published denoiser (14B, 1303 tensors), both branches of guidance, stage by stage over a
 * sparse bfloat16 file: time, speed, and memory beside the page cache. Its large matrices are zeros, which cost what
 * others cost. Usage:
 *
 *     npx tsx bench/published-step.ts [--threads 1] [--blocks 1] [--layers 40] [--frames 17] [--size 256x144]
 */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Denoiser, type SegmentInputs } from "../src/diffusion/denoiser.ts";
import { FinetunedWeights } from "../src/diffusion/finetuned-weights.ts";
import { guidedVelocity } from "../src/diffusion/guidance.ts";
import { type WanDiTShape, buildWanDiT } from "../src/models/wan-dit/build.ts";
import { WAN_DIT_PRESETS, type WanDiTConfig } from "../src/models/wan-dit/config.ts";
import { countTokens } from "../src/models/wan-dit/cost.ts";
import { runCost } from "../src/models/run-cost.ts";
import { Lane } from "../src/runtime/lane.ts";
import { matmulSpeed } from "../src/runtime/measure.ts";
import { openSafetensors } from "../src/runtime/safetensors.ts";
import { Random } from "../src/tensor/random.ts";
import { float32, sizeOf } from "../src/tensor/tensor.ts";
import { writeSparseCheckpoint } from "./sparse-checkpoint.ts";

const { values } = parseArgs({
  options: {
    threads: { type: "string", default: "1" },
    blocks: { type: "string", default: "1" },
    layers: { type: "string", default: "40" },
    frames: { type: "string", default: "17" },
    size: { type: "string", default: "256x144" },
  },
});
const threads = Number(values.threads);
const blocksPerStage = Number(values.blocks);
const [width, height] = values.size.split("x").map(Number) as [number, number];
const config: WanDiTConfig = { ...WAN_DIT_PRESETS.wan14b, numLayers: Number(values.layers) };
const shape: WanDiTShape = {
  latentFrames: (Number(values.frames) - 1) / 4 + 1,
  latentHeight: height / 8,
  latentWidth: width / 8,
};

const gib = (bytes: number): string => `${(bytes / 2 ** 30).toFixed(2)} GiB`;

/** Memory of this process without the pages of files, sampled while the lane computes; zero outside Linux. */
class MemoryWatch {
  peakAnonymous = 0;
  peakResident = 0;
  private readonly timer = setInterval(() => void this.sample(), 50);

  async sample(): Promise<void> {
    const status = await readFile("/proc/self/status", "utf8").catch(() => "");
    const bytes = (name: string) => 1024 * Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1] ?? 0);
    this.peakAnonymous = Math.max(this.peakAnonymous, bytes("RssAnon") + bytes("RssShmem"));
    this.peakResident = Math.max(this.peakResident, bytes("VmHWM"));
  }

  stop(): void {
    clearInterval(this.timer);
  }
}

const random = new Random("published step");
const graph = buildWanDiT(config, shape);
const specs = [...graph.params.values()];
const { flops } = runCost(graph);
const { video, ref } = countTokens(config, shape);
console.log(`${cpus()[0]?.model ?? "unknown processor"}, ${threads} of ${cpus().length} threads, float32`);
console.log(
  `${config.numLayers} blocks of width ${config.dim} in stages of ${blocksPerStage}; ${values.frames} frames of ` +
    `${width}x${height}: ${video} video and ${ref} reference tokens; ${((2 * flops) / 1e12).toFixed(1)} TFLOP a step`,
);

const folder = await mkdtemp(join(tmpdir(), "posegen-published-step-"));
const lane = new Lane();
try {
  const path = join(folder, "base.safetensors");
  const shapes = new Map(specs.map(({ name, shape: size }) => [name, size] as const));
  const fileBytes = await writeSparseCheckpoint(path, shapes, random);
  const normals = (size: readonly number[]) => float32(random.normals(sizeOf(size)), size);
  const latents = (channels: number, frames = shape.latentFrames) =>
    normals([1, channels, frames, shape.latentHeight, shape.latentWidth]);
  const inputs: SegmentInputs = {
    cond: latents(config.inDim - config.outDim),
    hand: latents(config.outDim),
    ref: latents(config.outDim, 1),
    clipFeature: normals([1, 257, config.imageDim!]),
    contexts: { positive: normals([1, 512, config.textDim]), negative: normals([1, 512, config.textDim]) },
    subjectTokens: null,
  };
  const peakBefore = await matmulSpeed({ threads });
  const watch = new MemoryWatch();
  const weights = await FinetunedWeights.open(
    await openSafetensors(path),
    { phase1: [], phase2: [] },
    specs,
    { lane },
  );
  const placement = { device: "cpu", threads, blocksPerStage } as const;
  const denoiser = new Denoiser({ config, shape, maxMapBlock: 10, lane, weights, placement });
  await denoiser.use("phase1");
  const noise = latents(config.outDim).data;
  const begin = performance.now();
  const cpuBegin = process.cpuUsage();
  const velocity = await guidedVelocity(5, (branch) =>
    denoiser.predict(inputs, { branch, latents: noise, timestep: 900 }),
  );
  const seconds = (performance.now() - begin) / 1000;
  const { user, system } = process.cpuUsage(cpuBegin);
  const cpuSeconds = (user + system) / 1e6;
  await watch.sample();
  watch.stop();
  await denoiser.close();
  const peak = (peakBefore + (await matmulSpeed({ threads }))) / 2;
  const size = Math.sqrt(velocity.reduce((sum, v) => sum + v * v, 0) / velocity.length);
  console.log(`weights ${gib(fileBytes)} if the file were full; velocity of size ${size.toFixed(3)}`);
  console.log(
    `step ${seconds.toFixed(0)} s (${cpuSeconds.toFixed(0)} s of processor time), ` +
      `${((2 * flops) / seconds / 1e9).toFixed(0)} GFLOPS (${((2 * flops) / cpuSeconds / 1e9).toFixed(0)} per second of ` +
      `processor time); matrix product peak ${peak.toFixed(0)}`,
  );
  console.log(
    `peak memory beside the page cache ${gib(watch.peakAnonymous)}, with mapped weights ${gib(watch.peakResident)}`,
  );
} finally {
  await lane.close();
  await rm(folder, { recursive: true, force: true });
}
