import { invariant } from "../tensor/errors.ts";
import { Random } from "../tensor/random.ts";
import { type TrainingState } from "./checkpoint.ts";
import { type ClipDataset, type TrainingClip } from "./dataset.ts";
import {
  type AbsentConditions,
  type ClipSize,
  type DenoiserSampling,
  denoiserBatch,
} from "./denoiser-batch.ts";
import { type DenoiserModels, buildDenoiserLoss } from "./denoiser-loss.ts";
import { addLora, LORA_TARGETS } from "../models/layers/lora.ts";
import { type Params, type TrainOptions, type TrainStep, compileTrainStep, train } from "./train.ts";

/** Part of a run with its own clip length: short clips first, then longer ones (curriculum). */
export interface DenoiserStage {
  /** First step after this stage. */
  readonly untilStep: number;
  readonly latentFrames: number;
  readonly batch: number;
}

/** What learns: the whole network (`null`), or low-rank pairs on linear layers and the patch embeddings. */
export interface LoraRecipe {
  readonly rank: number;
  readonly alpha: number;
}

export interface DenoiserRun {
  readonly models: DenoiserModels;
  readonly size: ClipSize;
  readonly textTokens: number;
  readonly stages: readonly DenoiserStage[];
  readonly sampling: DenoiserSampling;
  readonly lora: LoraRecipe | null;
  readonly seed: number;
  readonly threads: number;
  readonly absent: AbsentConditions;
  readonly dataset: ClipDataset;
  /** Clips that step `step` may draw from: a dataset that is still being built grows with the steps. */
  readonly clipsAt: (step: number) => number;
}

/** What LoRA finetuning trains: the low-rank pairs, and the patch embeddings in full. */
function isLoraTrainable(key: string): boolean {
  return /\.lora_[AB]\./.test(key) || /^dit\.(?:ref_|hand_)?patch_embedding\./.test(key);
}

/** Trains the denoiser on a dataset of clips, resuming from the options' folder. `initial` holds all parameters. */
export async function trainDenoiser(
  run: DenoiserRun,
  initial: Params,
  options: TrainOptions,
): Promise<TrainingState> {
  let current: { stage: DenoiserStage; step: TrainStep } | null = null;
  const stepFor = async (step: number): Promise<TrainStep> => {
    const stage = stageAt(run.stages, step);
    if (current?.stage !== stage) {
      await current?.step.release();
      current = { stage, step: await compileStage(run, stage) };
    }
    return current.step;
  };
  const batchFor = async (step: number) => {
    const random = new Random(run.seed).fork("batch").fork(step);
    const { batch, latentFrames } = stageAt(run.stages, step);
    const numClips = run.clipsAt(step);
    await run.dataset.waitFor(numClips, options.signal);
    const clips: TrainingClip[] = [];
    for (let i = 0; i < batch; i++) clips.push(await run.dataset.clip(random.integer(numClips)));
    return denoiserBatch(clips, latentFrames, run.size, run.absent, run.sampling, random.fork("noise"));
  };
  try {
    return await train(stepFor, initial, batchFor, options);
  } finally {
    await (current as { step: TrainStep } | null)?.step.release();
  }
}

/** Shapes of the parameters of a run's first stage, by key: what `initial` must hold. */
export function denoiserParams(run: DenoiserRun): Map<string, readonly number[]> {
  const { graph } = buildStage(run, stageAt(run.stages, 0));
  return new Map([...graph.params].map(([key, { shape }]) => [key, shape]));
}

function buildStage(run: DenoiserRun, { batch, latentFrames }: DenoiserStage) {
  const { height: latentHeight, width: latentWidth } = run.size;
  const shape = { batch, latentFrames, latentHeight, latentWidth, textTokens: run.textTokens };
  const built = buildDenoiserLoss(run.models, shape);
  if (run.lora) addLora(built.graph, { rank: run.lora.rank, scale: run.lora.alpha, targets: LORA_TARGETS });
  return built;
}

async function compileStage(run: DenoiserRun, stage: DenoiserStage): Promise<TrainStep> {
  const { graph, loss } = buildStage(run, stage);
  return compileTrainStep(graph, loss, run.lora ? isLoraTrainable : () => true, run.threads);
}

function stageAt(stages: readonly DenoiserStage[], step: number): DenoiserStage {
  const stage = stages.find(({ untilStep }) => step < untilStep) ?? stages.at(-1);
  invariant(stage, "a run has at least one stage");
  return stage;
}
