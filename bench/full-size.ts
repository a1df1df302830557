/**
 * A published network at full size over a sparse bfloat16 file, as a run works with it: time, speed, and memory beside
 * the page cache, and what `posegen models plan` foresees of them. Large matrices are zeros, which cost what others
 * cost. Seconds are processor time, of the work as of the matrix product that it is compared with. Usage:
 *
 *     npx tsx bench/full-size.ts denoiser|text-encoder|image-encoder|vae [--threads 1] [--frames 17] [--size 256x144]
 *         [--tokens 512] [--layers 40] [--blocks 1] [--int8]
 *
 * In int8 the weights are written as `calibrate` does it, 0.4 GB for each of the denoiser's layers.
 */
import { mkdtemp, rm, statfs } from "node:fs/promises";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { openSafetensors } from "../src/runtime/safetensors.ts";
import { UserError } from "../src/tensor/errors.ts";
import { Random } from "../src/tensor/random.ts";
import { FULL_SIZE_PARTS } from "./full-size-parts.ts";
import { MemoryWatch } from "./memory-watch.ts";
import { ProbingLane } from "./probing-lane.ts";
import { writeSparseCheckpoint } from "./sparse-checkpoint.ts";
import { compared, processorSeconds } from "./stopwatch.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    threads: { type: "string", default: "1" },
    frames: { type: "string", default: "17" },
    size: { type: "string", default: "256x144" },
    tokens: { type: "string", default: "512" },
    layers: { type: "string", default: "40" },
    blocks: { type: "string", default: "1" },
    int8: { type: "boolean", default: false },
  },
});
const [name = "denoiser"] = positionals;
const make = FULL_SIZE_PARTS[name];
if (!make) throw new UserError(`part: got "${name}"; expected ${Object.keys(FULL_SIZE_PARTS).join(", ")}`);
const threads = Number(values.threads);
const [width, height] = values.size.split("x").map(Number) as [number, number];
const part = make({
  threads,
  width,
  height,
  numFrames: Number(values.frames),
  numTokens: Number(values.tokens),
  numLayers: Number(values.layers),
  blocksPerStage: Number(values.blocks),
  isInt8: values.int8,
});
const { flops, effort, heldBytes, engineBytes } = part.cost;

const gib = (bytes: number): string => `${(bytes / 2 ** 30).toFixed(2)} GiB`;

console.log(`${cpus()[0]?.model ?? "unknown processor"}, ${threads} of ${cpus().length} threads`);
console.log(`${part.title}; ${(flops / 1e12).toFixed(2)} TFLOP`);

const folder = await mkdtemp(join(tmpdir(), "posegen-full-size-"));
const lane = new ProbingLane(threads);
try {
  const { bavail, bsize } = await statfs(folder);
  if (bavail * bsize < 2 ** 30) throw new UserError(`${folder} has less than 1 GiB of free space`);
  const path = join(folder, "weights.safetensors");
  const shapes = new Map(part.specs.map((spec) => [spec.name, spec.shape] as const));
  const fileBytes = await writeSparseCheckpoint(path, shapes, new Random("weights"));
  const preparing = await processorSeconds(async () => part.prepare?.(await openSafetensors(path), folder));
  if (values.int8) console.log(`weights in int8 written in ${preparing.toFixed(1)} s of processor time`);
  await lane.probe();
  const watch = new MemoryWatch();
  await watch.sample();
  const programBytes = watch.anonymousBytes;
  let made: Float32Array = new Float32Array();
  const begin = performance.now();
  const probedSeconds = lane.probeSeconds;
  const allSeconds = await processorSeconds(async () => {
    made = await part.run(await openSafetensors(path), lane);
  });
  const wallSeconds = (performance.now() - begin) / 1000;
  const seconds = allSeconds - (lane.probeSeconds - probedSeconds);
  await watch.stop();
  await lane.probe();
  const peak = lane.meanPeak;
  const size = Math.sqrt(made.reduce((sum, x) => sum + x * x, 0) / made.length);
  console.log(`weights ${gib(fileBytes)} if the file were full; result of size ${size.toFixed(3)}`);
  const speed = flops / seconds / 1e9;
  console.log(
    `${seconds.toFixed(1)} s of processor time (${wallSeconds.toFixed(1)} s), ${speed.toFixed(0)} GFLOPS, ` +
      `${((100 * speed) / peak).toFixed(0)} % of ${peak.toFixed(0)}, which ${lane.peaks.length} probes measured between ` +
      `${Math.min(...lane.peaks).toFixed(0)} and ${Math.max(...lane.peaks).toFixed(0)}`,
  );
  const foreseenSeconds = effort / peak / 1e9;
  console.log(`foreseen ${foreseenSeconds.toFixed(1)} s: ${compared(foreseenSeconds, seconds)}`);
  console.log(
    `peak memory beside the page cache ${gib(watch.anonymousBytes)}, of it ${gib(programBytes)} before; with mapped ` +
      `weights ${gib(watch.residentBytes)}`,
  );
  const foreseenBytes = programBytes + heldBytes + engineBytes;
  console.log(
    `foreseen ${gib(foreseenBytes)} (program, weights ${gib(heldBytes)}, engine ${gib(engineBytes)}): ` +
      compared(foreseenBytes, watch.anonymousBytes),
  );
} finally {
  await lane.close();
  await rm(folder, { recursive: true, force: true });
}
