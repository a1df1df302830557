import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { exists } from "../files/exists.ts";
import { type WanVaeConfig, numLatentFrames, spatialStride } from "../models/wan-vae/config.ts";
import { openCheckpoint } from "../runtime/checkpoint.ts";
import { readTensors } from "../runtime/tensor-file.ts";
import { writeSafetensors } from "../runtime/safetensors-writer.ts";
import { Random } from "../tensor/random.ts";
import { type Tensor, sizeOf } from "../tensor/tensor.ts";
import { splitBatch } from "./accumulate.ts";
import { averagedParams, newestStep, type TrainingState } from "./checkpoint.ts";
import { adamW } from "./optimizer.ts";
import { type Params, type TrainOptions, compileTrainStep, train } from "./train.ts";
import { drawVaeBatch } from "./vae-batch.ts";
import { type VaeClip, loadVaeClips, renderVaeClips, saveVaeClips, vaeClipBytes } from "./vae-clips.ts";
import { VaeProbe } from "./vae-probe.ts";
import { initialVaeWeights, latentStatistics } from "./vae-init.ts";
import { VaeWeights } from "./vae-layout.ts";
import { VaeJudge, type VaeQuality } from "./vae-judge.ts";
import { type VaeBatchShape, buildVaeLoss } from "./vae-loss.ts";

/** What of a VAE learns: `decoder` leaves the encoder as it is, and so latents that have been made with it. */
export type VaePart = "all" | "decoder";

export interface VaeRun {
  readonly config: WanVaeConfig;
  readonly part: VaePart;
  /** First weights: given ones, the analytic start (see `initialVaeWeights`), or random ones. */
  readonly start: Params | "analytic" | "random";
  /** Windows of clips that pass at the same time. */
  readonly shape: VaeBatchShape;
  /** Passes of a step. */
  readonly accumulate: number;
  /** Rendered clips to draw windows from, and others to measure on. */
  readonly numClips: number;
  readonly numHeldOut: number;
  readonly seed: number;
  readonly threads: number;
}

export interface VaeTrainOptions extends Omit<TrainOptions, "optimizer" | "group"> {
  /** Told what takes long before the first step. */
  readonly log: (line: string) => void;
  /** Called with the quality on held-out clips before the first step and after every checkpoint. */
  readonly onQuality: (step: number, quality: VaeQuality) => void | Promise<void>;
}

const CLIP_FRAMES = 13;
/** Held-out clips are taken from here on in the series of clips; training never gets as far. */
const FIRST_HELD_OUT = 1_000_000;
const NUM_INIT_CLIPS = 40;

/** Files that a run leaves in its folder. */
export const VAE_WEIGHTS = "vae.safetensors";
export const VAE_CONFIG = "config.json";

/**
 * Trains on rendered clips, or goes on with it. In the end, or when the signal aborts, it writes the averaged weights
 * into the folder and the configuration beside them, with `latentMean` and `latentStd` measured anew unless only the
 * decoder has learnt.
 */
export async function trainVae(run: VaeRun, options: VaeTrainOptions): Promise<TrainingState> {
  const { config, shape } = run;
  const { folder, log } = options;
  log(`rendering ${run.numClips} clips`);
  const clips = await clipsAt(join(folder, "clips.safetensors"), 0, run.numClips);
  const initial = await firstWeights(run, clips, options);
  const stride = spatialStride(config);
  const whole = { ...shape, batch: shape.batch * run.accumulate };
  const latentSize = [shape.height / stride, shape.width / stride];
  const latentShape = [whole.batch, config.zDim, numLatentFrames(config, shape.numFrames), ...latentSize];
  const { graph, loss } = buildVaeLoss(config, shape);
  const step = await compileTrainStep(graph, loss, trainableOfVae(run.part), run.threads);
  const judge = await VaeJudge.open(config, await heldOutClips(folder, run.numHeldOut));
  const report = async (atStep: number, weights: Params): Promise<void> => {
    const quality = await judge.judge(weights);
    await writeFile(join(folder, `quality-${atStep}.json`), JSON.stringify(quality));
    await options.onQuality(atStep, quality);
  };
  if ((await newestStep(folder)) === null) await report(0, initial);
  const { numSteps } = options.learningRate;
  const state = await train(
    async () => step,
    initial,
    async (n) => {
      const random = new Random(run.seed).fork("vae batch").fork(n);
      return splitBatch(drawVaeBatch(clips, whole, latentShape, random), run.accumulate);
    },
    {
      ...options,
      optimizer: adamW({ beta2: 0.99, weightDecay: 0, rateOf: (key) => layerRate(initial[key]!.shape) }),
      async onStep(stepReport, stateNow) {
        await options.onStep?.(stepReport, stateNow);
        const at = stateNow.step;
        if (at % options.checkpointEverySteps !== 0 && at !== numSteps) return;
        await report(at, { ...initial, ...averagedParams(stateNow) });
      },
    },
  );
  await judge.release();
  await step.release();
  await finish(run, clips, { ...initial, ...averagedParams(state) }, folder);
  return state;
}

/** Which of a VAE's parameters learn, by key. */
export function trainableOfVae(part: VaePart): (key: string) => boolean {
  return part === "all" ? () => true : (key) => key.startsWith("decoder.") || key.startsWith("conv2.");
}

/** Bytes of rendered clips in memory. */
export function heldVaeClipBytes(numClips: number): number {
  return numClips * vaeClipBytes(CLIP_FRAMES);
}

/** Clips that are never trained on, from a run's folder. */
export function heldOutClips(folder: string, count: number): Promise<VaeClip[]> {
  return clipsAt(join(folder, "heldout.safetensors"), FIRST_HELD_OUT, count);
}

/** Writes weights and configuration of a run that has ended. */
async function finish(
  { config, part, shape, seed }: VaeRun,
  clips: readonly VaeClip[],
  weights: Params,
  folder: string,
): Promise<void> {
  await writeSafetensors(join(folder, VAE_WEIGHTS), weights);
  let measured = config;
  if (part === "all") {
    const windows = drawWindows(clips, shape, seed);
    const probe = await VaeProbe.open(config, windows[0]!.shape, []);
    const channels = await latentStatistics(probe, weights, windows);
    await probe.release();
    measured = {
      ...config,
      latentMean: channels.map(({ mean }) => mean),
      latentStd: channels.map(({ deviation }) => deviation),
    };
  }
  await writeFile(join(folder, VAE_CONFIG), `${JSON.stringify(measured, null, 1)}\n`);
}

/**
 * Adam moves every weight by about the learning rate, all of a unit's weights possibly the same way: the more inputs
 * a unit has, the smaller its steps must be (Yang and Hu, 2021).
 */
function layerRate(shape: readonly number[]): number {
  const fanIn = sizeOf(shape.slice(1));
  return fanIn === 1 ? 0.3 : Math.min(1, 32 / fanIn);
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
function drawWindows(clips: readonly VaeClip[], shape: VaeBatchShape, seed: number): Tensor<"float32">[] {
  const single = { ...shape, batch: 1 };
  const random = new Random(seed).fork("vae init");
  return Array.from(
    { length: NUM_INIT_CLIPS },
    (_, i) => drawVaeBatch(clips, single, [1], random.fork(i)).video,
  );
}

/** The weights before the first step. The analytic start is kept in a file because it takes a minute. */
async function firstWeights(
  { config, start, shape, seed }: VaeRun,
  clips: readonly VaeClip[],
  { folder, log }: VaeTrainOptions,
): Promise<Params> {
  if (typeof start === "object") return start;
  if (start === "random") return VaeWeights.random(config, seed).tensors;
  const path = join(folder, "init.safetensors");
  if (!(await exists(path))) {
    log("fitting the analytic start");
    await writeSafetensors(path, await initialVaeWeights(config, drawWindows(clips, shape, seed), seed, log));
  }
  return readTensors(await openCheckpoint(path));
}
