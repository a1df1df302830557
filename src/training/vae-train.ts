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
import { VaeJudge, type VaeQuality } from "./vae-judge.ts";
import { initialVaeWeights } from "./vae-init.ts";
import { type VaeBatchShape, buildVaeLoss } from "./vae-loss.ts";

export interface VaeTrainOptions {
  /** Folder of the run: rendered clips, first weights, log, checkpoints. A run that stopped goes on. */
  readonly folder: string;
  readonly numSteps: number;
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

/** Trains a VAE on rendered clips; see `initialVaeWeights` and `buildVaeLoss`. Returns the averaged weights. */
export async function trainVae(config: WanVaeConfig, options: VaeTrainOptions): Promise<Params> {
  const { folder, shape, numSteps, log } = options;
  await mkdir(folder, { recursive: true });
  const clips = await clipsAt(join(folder, "clips.safetensors"), 0, NUM_CLIPS);
  const heldOut = await clipsAt(join(folder, "heldout.safetensors"), FIRST_HELD_OUT, NUM_HELD_OUT);
  const stride = spatialStride(config);
  const latentShape = [
    shape.batch,
    config.zDim,
    numLatentFrames(config, shape.numFrames),
    shape.height / stride,
    shape.width / stride,
  ];
  const initial = await firstWeights(config, clips, options);
  const { graph, loss } = buildVaeLoss(config, shape);
  const step = await compileTrainStep(graph, loss, () => true, options.threads);
  const judge = await VaeJudge.open(config, heldOut);
  const report = async (state: Pick<TrainingState, "step">, weights: Params): Promise<void> => {
    const quality = await judge.judge(weights);
    log(`step ${state.step}: ${describe(quality)}`);
    await writeFile(join(folder, `quality-${state.step}.json`), JSON.stringify(quality));
  };
  await report({ step: 0 }, initial);
  const state = await train(
    async () => step,
    initial,
    async (n) => drawVaeBatch(clips, shape, latentShape, new Random("vae batch").fork(n)),
    {
      folder,
      fingerprint: JSON.stringify([config, shape, numSteps, options.peakLearningRate]),
      learningRate: { peak: options.peakLearningRate, numSteps, warmup: 0.02, floor: 0.05 },
      optimizer: adamW({ beta2: 0.99, weightDecay: 0, rateOf: (key) => layerRate(initial[key]!.shape) }),
      maxGradientNorm: 1,
      emaDecay: 0.995,
      checkpointEverySteps: 100,
      ...(options.signal ? { signal: options.signal } : {}),
      onStep: (s) => {
        if (s.step % 20 === 0) {
          const { loss: value, mse } = s.metrics;
          log(
            `${s.step}/${numSteps} loss ${value!.toFixed(4)} psnr ${psnr(mse! / 4).toFixed(2)} ` +
              `gradient ${s.gradientNorm.toFixed(2)} ${s.durationMs.toFixed(0)} ms`,
          );
        }
      },
      onCheckpoint: async (s) => report(s, averaged(s)),
    },
  );
  await judge.release();
  await step.release();
  const weights = averaged(state);
  await writeSafetensors(join(folder, "vae.safetensors"), weights);
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

function psnr(meanSquaredError: number): number {
  return -10 * Math.log10(meanSquaredError);
}

function describe(quality: VaeQuality): string {
  return Object.entries(quality)
    .map(([name, value]) => `${name} ${value.toFixed(2)} dB`)
    .join(", ");
}

async function clipsAt(path: string, first: number, count: number): Promise<VaeClip[]> {
  const exists = await access(path).then(
    () => true,
    () => false,
  );
  if (!exists) await saveVaeClips(path, [...renderVaeClips(first, count, CLIP_FRAMES)]);
  return loadVaeClips(path);
}

/** Initial weights, kept beside the run because they take a minute. */
async function firstWeights(
  config: WanVaeConfig,
  clips: readonly VaeClip[],
  { folder, shape, log }: VaeTrainOptions,
): Promise<Params> {
  const path = join(folder, "init.safetensors");
  const exists = await access(path).then(
    () => true,
    () => false,
  );
  if (!exists) {
    const single = { ...shape, batch: 1 };
    const videos = Array.from({ length: NUM_INIT_CLIPS }, (_, i) => {
      const { video } = drawVaeBatch(clips, single, [1], new Random("vae init").fork(i));
      return video;
    });
    await writeSafetensors(path, await initialVaeWeights(config, videos, 1, log));
  }
  const file = await openCheckpoint(path);
  const weights: Record<string, Tensor<"float32">> = {};
  for (const key of file.tensors.keys()) weights[key] = await file.readFloat32(key);
  return weights;
}
