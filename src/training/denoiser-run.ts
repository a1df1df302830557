import { invariant } from "../tensor/errors.ts";
import { Random } from "../tensor/random.ts";
import { splitBatch } from "./accumulate.ts";
import { type TrainingState } from "./checkpoint.ts";
import { type ClipDataset } from "./dataset.ts";
import {
  type AbsentConditions,
  type BatchClip,
  type ClipSize,
  type DenoiserSampling,
  denoiserBatch,
} from "./denoiser-batch.ts";
import { type BlockwiseModel, type BlockwiseSettings } from "./blockwise-graphs.ts";
import { compileBlockwiseStep } from "./blockwise-step.ts";
import { type FrozenWeights } from "./blockwise-weights.ts";
import {
  type ConditionInputs,
  type DenoiserModels,
  type DenoiserShape,
  buildDenoiserLoss,
  denoiserInTraining,
  givenEncodings,
  learningEncoders,
} from "./denoiser-loss.ts";
import { type ConditionEncodings, EncodedStep } from "./encoded-step.ts";
import { type LoraOptions, addLora } from "../models/layers/lora.ts";
import { faceCells } from "./face.ts";
import { ALONE, type TrainingGroup, sharePasses } from "./group.ts";
import {
  type Batch,
  type Params,
  type TrainOptions,
  type TrainStep,
  compileTrainStep,
  train,
} from "./train.ts";

/** Part of a run with its own clip length: short clips first, then longer ones (curriculum). */
export interface DenoiserStage {
  /** First step after this stage. */
  readonly untilStep: number;
  readonly latentFrames: number;
  /** Clips that pass at the same time, at most; a step takes `accumulate` times as many. */
  readonly batch: number;
}

/** What learns: denoiser and encoders (`null`), or, of the denoiser alone, low-rank pairs on linear layers and the patch embeddings. */
export interface LoraRecipe {
  readonly rank: number;
  /** Pairs are multiplied by alpha / rank. */
  readonly alpha: number;
  /** Matches the adapted weights' keys in the training graph. */
  readonly targets: RegExp;
}

/** What the backward pass finds: all results of the forward pass, or the tokens between blocks, to start again from. */
export type Recompute = "none" | "blocks";

export interface DenoiserRun {
  readonly models: DenoiserModels;
  readonly size: ClipSize;
  readonly textTokens: number;
  readonly stages: readonly DenoiserStage[];
  readonly accumulate: number;
  readonly sampling: DenoiserSampling;
  readonly lora: LoraRecipe | null;
  readonly recompute: Recompute;
  /** With `recompute: "blocks"`: where parameters lie that are not trained and that `initial` leaves out. */
  readonly frozen: FrozenWeights | null;
  /** With `lora`: of every caption and reference, and of the empty prompt; see `encodeConditions`. Else null. */
  readonly encodings: ConditionEncodings | null;
  readonly seed: number;
  readonly threads: number;
  readonly absent: AbsentConditions;
  readonly dataset: ClipDataset;
  /** Clips that step `step` may draw from: a dataset that is still being built grows with the steps. */
  readonly clipsAt: (step: number) => number;
  /** What some of the steps learn instead; null: nothing else. */
  readonly interpolation: Interpolation | null;
}

/** Clips with pictures pasted over the skeletons at their ends, which the mask keeps, as in phase 2. */
export interface Interpolation {
  readonly dataset: ClipDataset;
  /** Chance of a step to take its clips from here. */
  readonly share: number;
}

/** What LoRA finetuning trains: the low-rank pairs, and the patch embeddings in full. */
function isLoraTrainable(key: string): boolean {
  return /\.lora_[AB]\./.test(key) || /^dit\.(?:ref_|hand_)?patch_embedding\./.test(key);
}

/**
 * Trains the denoiser on a dataset of clips, resuming from the options' folder.
 * @param initial all parameters but those that `run.frozen` provides
 */
export async function trainDenoiser(
  run: DenoiserRun,
  initial: Params,
  options: TrainOptions,
): Promise<TrainingState> {
  const stages = sharedStages(run, options.group);
  let current: { stage: DenoiserStage; step: TrainStep } | null = null;
  const stepFor = async (step: number): Promise<TrainStep> => {
    const stage = stageAt(stages, step);
    if (current?.stage !== stage) {
      await current?.step.release();
      current = { stage, step: await compileStage(run, stage) };
    }
    return current.step;
  };
  // Every process draws and prepares the clips of all, so that how many there are changes nothing.
  const passesFor = async (step: number): Promise<Batch[]> => {
    const random = new Random(run.seed).fork("batch").fork(step);
    const { batch, latentFrames, numPasses } = stageAt(stages, step);
    const { dataset, numClips, sampling } = sourceAt(run, step, random.fork("source"));
    await dataset.waitFor(numClips, options.signal);
    const clips: BatchClip[] = [];
    for (let i = 0; i < batch * numPasses; i++) {
      const index = random.integer(numClips);
      const face = sampling.faceWeight > 0 ? await facesOf(dataset, index) : null;
      clips.push({ ...(await dataset.clip(index)), face });
    }
    const { size, absent } = run;
    const whole = denoiserBatch(clips, latentFrames, size, absent, sampling, random.fork("noise"));
    return splitBatch(whole, numPasses);
  };
  try {
    return await train(stepFor, initial, passesFor, options);
  } finally {
    await (current as { step: TrainStep } | null)?.step.release();
  }
}

/** Cells of the face in a clip; null in datasets that were made without poses. */
async function facesOf(dataset: ClipDataset, index: number): Promise<Uint8Array | null> {
  const poses = await dataset.poses(index);
  const { shapes, index: about } = dataset;
  const size = shapes.person as [number, number, number];
  return poses && faceCells(poses, size, about.width / size[2]);
}

/** Where the clips of a step come from, and what is drawn for them. */
function sourceAt(
  { dataset, sampling, clipsAt, interpolation }: DenoiserRun,
  step: number,
  random: Random,
): { dataset: ClipDataset; numClips: number; sampling: DenoiserSampling } {
  if (!interpolation || !random.chance(interpolation.share)) {
    return { dataset, numClips: clipsAt(step), sampling };
  }
  const { index, numClips } = interpolation.dataset;
  const { headFrames, tailFrames } = index;
  // The pasted pictures stand in the skeleton's channels: the mask must not promise what is dropped.
  return {
    dataset: interpolation.dataset,
    numClips,
    sampling: { ...sampling, headFrames, tailFrames, dropPose: 0 },
  };
}

/** A stage whose clips are shared out. */
export interface SharedStage extends DenoiserStage {
  /** Passes of `batch` clips that make a step, in all processes together. */
  readonly numPasses: number;
}

/** The stages of a run as the processes of a group share them out. @throws UserError as `sharePasses` */
export function sharedStages(
  { stages, accumulate }: Pick<DenoiserRun, "stages" | "accumulate">,
  { size }: Pick<TrainingGroup, "size"> = ALONE,
): SharedStage[] {
  return stages.map((stage) => {
    const { batch, count } = sharePasses({ batch: stage.batch, accumulate }, size);
    return { ...stage, batch, numPasses: count };
  });
}

/** Shapes of the parameters of a run's first stage, by key: what `initial` must hold. */
export function denoiserParams(run: DenoiserNetwork & Pick<DenoiserRun, "stages">): ParamShapes {
  const { graph } = buildStage(run, stageAt(run.stages, 0));
  return new Map([...graph.params].map(([key, { shape }]) => [key, shape]));
}

/** The part of a run that its training graphs depend on. */
export type DenoiserNetwork = Pick<DenoiserRun, "models" | "size" | "textTokens" | "lora" | "recompute">;

export type ParamShapes = ReadonlyMap<string, readonly number[]>;

/** Which parameters get gradients, by key. */
export function trainableOf({ lora }: Pick<DenoiserRun, "lora">): (key: string) => boolean {
  return lora ? isLoraTrainable : () => true;
}

/** The training graph of a stage, without gradients. */
export function buildStage(network: DenoiserNetwork, stage: DenoiserStage) {
  const built = buildDenoiserLoss(modelInTraining(network, stage));
  const lora = loraOptions(network);
  if (lora) addLora(built.graph, lora);
  return built;
}

/** The denoiser of a stage with what stands before and behind it. */
export function modelInTraining(network: DenoiserNetwork, stage: DenoiserStage): BlockwiseModel {
  return denoiserInTraining(network.models, shapeOf(network, stage), conditionsOf(network));
}

/** Encoders are part of the graph where they learn, and nowhere else. */
function conditionsOf({ lora }: DenoiserNetwork): ConditionInputs {
  return lora ? givenEncodings : learningEncoders;
}

function shapeOf(
  { size, textTokens }: DenoiserNetwork,
  { batch, latentFrames }: DenoiserStage,
): DenoiserShape {
  return { batch, latentFrames, latentHeight: size.height, latentWidth: size.width, textTokens };
}

function loraOptions({ lora }: DenoiserNetwork): LoraOptions | null {
  return lora && { ...lora, scale: lora.alpha / lora.rank };
}

/** How a stage's graphs block by block are made. */
export function blockSettings(network: DenoiserNetwork): BlockwiseSettings {
  return { blocksPerRange: 1, lora: loraOptions(network), isTrainable: trainableOf(network) };
}

async function compileStage(run: DenoiserRun, stage: DenoiserStage): Promise<TrainStep> {
  const step = await compileGraphs(run, stage);
  return run.encodings ? new EncodedStep(step, run.encodings) : step;
}

async function compileGraphs(run: DenoiserRun, stage: DenoiserStage): Promise<TrainStep> {
  const { threads, frozen } = run;
  if (run.recompute === "blocks") {
    return compileBlockwiseStep(modelInTraining(run, stage), { ...blockSettings(run), frozen, threads });
  }
  const { graph, loss } = buildStage(run, stage);
  return compileTrainStep(graph, loss, trainableOf(run), threads);
}

/** The stage that a step belongs to. */
export function stageAt<S extends DenoiserStage>(stages: readonly S[], step: number): S {
  const stage = stages.find(({ untilStep }) => step < untilStep) ?? stages.at(-1);
  invariant(stage, "a run has at least one stage");
  return stage;
}
