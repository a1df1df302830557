import { access, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type WanVaeConfig, numLatentFrames, spatialStride } from "../models/wan-vae/config.ts";
import { openCheckpoint } from "../runtime/checkpoint.ts";
import { writeSafetensors } from "../runtime/safetensors-writer.ts";
import { Random } from "../tensor/random.ts";
import { type Tensor, sizeOf } from "../tensor/tensor.ts";
import { type TrainingState } from "./checkpoint.ts";
import { adamW } from "./optimizer.ts";
import { type Params, compileTrainStep, train } from "./train.ts";
import { type VaeClip, drawVaeBatch, loadVaeClips, renderVaeClips, saveVaeClips } from "./vae-clips.ts";
import { VaeProbe } from "./vae-features.ts";
import { initialVaeWeights, latentStatistics } from "./vae-init.ts";
import { VaeJudge, type VaeQuality } from "./vae-judge.ts";
import { type VaeBatchShape, buildVaeLoss } from "./vae-loss.ts";

export interface VaeTrainOptions {
  /** Folder of the run: rendered clips, first weights, log, checkpoints, result. A run that stopped goes on. */
  readonly folder: string;
  readonly numSteps: number;
  /** Learning rate of layers with few inputs; see `layerRate`. */
  readonly peakLearningRate: number;
  readonly shape: VaeBatchShape;
  readonly threads: number;
  readonly log: (line: string) => void;
  readonly signal?: AbortSignal;
}

const NUM_CLIPS = 240;
const NUM_HELD_OUT = 12;
const CLIP_FRAMES = 13;
/** Held-out clips are taken from here on in the series of clips; training never gets as far. */
const FIRST_HELD_OUT = 1_000_000;
const NUM_INIT_CLIPS = 40;

/** Files that a run leaves in its folder. */
export const VAE_WEIGHTS = "vae.safetensors";
export const VAE_CONFIG = "config.json";

/**
 * Trains encoder and decoder from the analytic start on rendered clips, then measures the latents. Writes the averaged
 * weights and the configuration with `latentMean` and `latentStd` into the folder.
 */
export async function trainVae(config: WanVaeConfig, options: VaeTrainOptions): Promise<void> {
  const clips = await trainingClips(options.folder);
  const windows = drawWindows(clips, options.shape);
  const initial = await firstWeights(config, windows, options);
  const weights = await run(config, clips, initial, () => true, options);

  const probe = await VaeProbe.open(config, windows[0]!.shape, []);
  const { mean, deviation } = await latentStatistics(probe, weights, windows);
  await probe.release();
  await writeConfig(options.folder, { ...config, latentMean: mean, latentStd: deviation });
}

/**
 * Goes on with the decoder alone. The encoder stays as it is, and so do latents that have been made with it.
 * @param trained weights and configuration to start from
 */
export async function trainVaeDecoder(
  config: WanVaeConfig,
  trained: Params,
  options: VaeTrainOptions,
): Promise<void> {
  const clips = await trainingClips(options.folder);
  const isDecoder = (key: string): boolean => key.startsWith("decoder.") || key.startsWith("conv2.");
  await run(config, clips, trained, isDecoder, options);
  await writeConfig(options.folder, config);
}

/** The loop of both. Returns all weights, those that were trained averaged, and writes them into the folder. */
async function run(
  config: WanVaeConfig,
  clips: readonly VaeClip[],
  initial: Params,
  isTrainable: (key: string) => boolean,
  options: VaeTrainOptions,
): Promise<Params> {
  const { folder, shape, numSteps, peakLearningRate, log } = options;
  const stride = spatialStride(config);
  const latentSize = [shape.height / stride, shape.width / stride];
  const latentShape = [shape.batch, config.zDim, numLatentFrames(config, shape.numFrames), ...latentSize];
  const { graph, loss } = buildVaeLoss(config, shape);
  const step = await compileTrainStep(graph, loss, isTrainable, options.threads);
  const heldOut = await clipsAt(join(folder, "heldout.safetensors"), FIRST_HELD_OUT, NUM_HELD_OUT);
  const judge = await VaeJudge.open(config, heldOut);
  const report = async (atStep: number, weights: Params): Promise<void> => {
    const quality = await judge.judge(weights);
    log(`step ${atStep}: ${describe(quality)}`);
    await writeFile(join(folder, `quality-${atStep}.json`), JSON.stringify(quality));
  };
  await report(0, initial);
  const state = await train(
    async () => step,
    initial,
    async (n) => drawVaeBatch(clips, shape, latentShape, new Random("vae batch").fork(n)),
    {
      folder,
      fingerprint: JSON.stringify([config, shape, numSteps, peakLearningRate, step.trainable.length]),
      learningRate: { peak: peakLearningRate, numSteps, warmup: 0.02, floor: 0.05 },
      optimizer: adamW({ beta2: 0.99, weightDecay: 0, rateOf: (key) => layerRate(initial[key]!.shape) }),
      maxGradientNorm: 1,
      emaDecay: 0.995,
      checkpointEverySteps: 100,
      ...(options.signal ? { signal: options.signal } : {}),
      onStep: ({ step: number, metrics, gradientNorm, durationMs }) => {
        if (number % 20 !== 0) return;
        const error = decibels(metrics["mse"]! / 4);
        log(
          `${number}/${numSteps} loss ${metrics["loss"]!.toFixed(4)} psnr ${error.toFixed(2)} ` +
            `gradient ${gradientNorm.toFixed(2)} ${durationMs.toFixed(0)} ms`,
        );
      },
      onCheckpoint: (s) => report(s.step, { ...initial, ...averaged(s) }),
    },
  );
  await judge.release();
  await step.release();
  const weights = { ...initial, ...averaged(state) };
  await writeSafetensors(join(folder, VAE_WEIGHTS), weights);
  return weights;
}

/**
 * Adam moves every weight by about the learning rate, all of a unit's weights possibly the same way: the more inputs
 * a unit has, the smaller its steps must be (Yang and Hu, 2021).
 */
function layerRate(shape: readonly number[]): number {
  const fanIn = sizeOf(shape.slice(1));
  return fanIn === 1 ? 0.3 : Math.min(1, 32 / fanIn);
}

function averaged(state: TrainingState): Record<string, Tensor<"float32">> {
  return Object.fromEntries(
    Object.entries(state.params).map(([key, param]) => [key, { ...param, data: state.average[key]! }]),
  );
}

function decibels(meanSquaredError: number): number {
  return -10 * Math.log10(meanSquaredError);
}

function describe(quality: VaeQuality): string {
  return Object.entries(quality)
    .map(([name, value]) => `${name} ${value.toFixed(2)} dB`)
    .join(", ");
}

async function writeConfig(folder: string, config: WanVaeConfig): Promise<void> {
  await writeFile(join(folder, VAE_CONFIG), `${JSON.stringify(config, null, 1)}\n`);
}

function trainingClips(folder: string): Promise<VaeClip[]> {
  return clipsAt(join(folder, "clips.safetensors"), 0, NUM_CLIPS);
}

/** Rendered clips, kept in a file. */
async function clipsAt(path: string, first: number, count: number): Promise<VaeClip[]> {
  if (!(await exists(path))) {
    await mkdir(join(path, ".."), { recursive: true });
    await saveVaeClips(path, [...renderVaeClips(first, count, CLIP_FRAMES)]);
  }
  return loadVaeClips(path);
}

/** Windows of clips in the mixture of training, one by one. */
function drawWindows(clips: readonly VaeClip[], shape: VaeBatchShape): Tensor<"float32">[] {
  const single = { ...shape, batch: 1 };
  return Array.from(
    { length: NUM_INIT_CLIPS },
    (_, i) => drawVaeBatch(clips, single, [1], new Random("vae init").fork(i)).video,
  );
}

/** The analytic start, kept in a file because it takes a minute. */
async function firstWeights(
  config: WanVaeConfig,
  windows: readonly Tensor<"float32">[],
  { folder, log }: VaeTrainOptions,
): Promise<Params> {
  const path = join(folder, "init.safetensors");
  if (!(await exists(path))) await writeSafetensors(path, await initialVaeWeights(config, windows, 1, log));
  const file = await openCheckpoint(path);
  const weights: Record<string, Tensor<"float32">> = {};
  for (const key of file.tensors.keys()) weights[key] = await file.readFloat32(key);
  return weights;
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
