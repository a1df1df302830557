/** Everything that a training of the denoiser needs, from its settings. */
import { ClipDataset } from "../../training/dataset.ts";
import type { AbsentConditions, DenoiserSampling } from "../../training/denoiser-batch.ts";
import {
  type DenoiserRun,
  type ParamShapes,
  denoiserParams,
  trainableOf,
} from "../../training/denoiser-run.ts";
import { loadAverages, newestStep } from "../../training/checkpoint.ts";
import { muon } from "../../training/muon.ts";
import { adamW, type Optimizer } from "../../training/optimizer.ts";
import type { Params } from "../../training/train.ts";
import type { Checkpoint } from "../../runtime/safetensors.ts";
import { UserError } from "../../tensor/errors.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { identifyEncoders } from "../dataset/encoders.ts";
import type { DenoiserConfig } from "./config.ts";
import { type EncoderWeights, encodingsOf, openEncoderWeights } from "./encoder-weights.ts";
import { type ModelSource, emptyPromptTokens, openModelWeights } from "./model-source.ts";
import { type NetworkSource, openNetwork } from "./network.ts";
import { startWeights } from "./start-weights.ts";
import { blackLatents, isModelFolder, openTrainedVae } from "./trained-vae.ts";

export interface DenoiserSetup extends NetworkSource {
  readonly run: DenoiserRun;
  readonly initial: Params;
  /** Of encoders that do not learn; null where they do. */
  readonly encoders: EncoderWeights | null;
  readonly optimizer: Optimizer;
  /** Steps of the training that `from` names, when this one starts from it; null without one. */
  readonly fromStep: number | null;
  /** Folder of the VAE. */
  readonly vae: string;
}

/** @throws UserError saying what is missing or does not fit */
export async function setUpDenoiser(config: DenoiserConfig, threads: number): Promise<DenoiserSetup> {
  const opened = await openNetwork(config, false);
  const { source, network, width, height } = opened;
  const encoders = network.lora ? await openEncoderWeights(config, source) : null;
  const index = opened.index!;
  const vae = vaeFolder(config, source);
  const { absent, fingerprint } = await openAbsent(vae, source, { width, height }, index.numFrames);
  const dataset = await ClipDataset.open(config.dataset.folder, { fingerprint });
  const numClips = config.dataset.clips ?? dataset.numClips;
  if (numClips > dataset.numClips) {
    throw new UserError(
      `dataset.clips is ${numClips}; ${config.dataset.folder} has ${dataset.numClips} clips`,
    );
  }
  const { first, perStep } = config.dataset;
  const weights = source.folder && (await openModelWeights(source.folder));
  const frozen = staysInFiles(config)
    ? weights && { checkpoint: weights, keyOf: (key: string) => key }
    : null;
  const run: DenoiserRun = {
    ...network,
    frozen,
    encodings: encoders && (await encodingsOf(config.dataset.folder, source, encoders, threads)),
    stages: config.stages,
    accumulate: config.accumulate,
    sampling: samplingOf(config, index),
    seed: config.seed,
    threads,
    absent,
    dataset,
    clipsAt: (step) => (first === null ? numClips : Math.min(numClips, Math.floor(first + step * perStep))),
    interpolation: await openInterpolation(config, fingerprint),
  };
  const shapes = denoiserParams(run);
  const isTrainable = trainableOf(run);
  const inMemory = new Map(
    [...shapes].filter(([key]) => isTrainable(key) || !frozen?.checkpoint.tensors.has(key)),
  );
  const given = await givenWeights(config, weights, inMemory);
  const initial = startWeights(inMemory, network.models, given, config.seed);
  const optimizer = await optimizerOf(config, shapes, isTrainable, threads);
  const fromStep = config.from === null ? null : await newestStep(config.from);
  return { ...opened, run, initial, encoders, optimizer, fromStep, vae };
}

async function openInterpolation(
  config: DenoiserConfig,
  fingerprint: string,
): Promise<DenoiserRun["interpolation"]> {
  if (!("interpolation" in config) || config.interpolation.folder === null) return null;
  const { folder, share } = config.interpolation;
  return { dataset: await ClipDataset.open(folder, { fingerprint }), share };
}

function vaeFolder(config: DenoiserConfig, { folder }: ModelSource): string {
  const vae = config.vae ?? folder?.path;
  if (vae !== undefined) return vae;
  throw new UserError(
    `vae is not set, and model "${config.model}" is an architecture without weights; name the folder of the VAE that ` +
      "made the dataset",
  );
}

async function openAbsent(
  folder: string,
  source: ModelSource,
  size: { readonly width: number; readonly height: number },
  numFrames: number,
): Promise<{ absent: AbsentConditions; fingerprint: string }> {
  const opened = await openTrainedVae(folder);
  try {
    const black = await blackLatents(opened.vae, size, numFrames);
    const fingerprint = (await isModelFolder(folder))
      ? (await identifyEncoders(folder)).fingerprint
      : opened.fingerprint;
    return { absent: { ...black, emptyPrompt: await emptyPromptTokens(source) }, fingerprint };
  } finally {
    await opened.release();
  }
}

function samplingOf(
  config: DenoiserConfig,
  index: { readonly headFrames: number; readonly tailFrames: number },
): DenoiserSampling {
  const { drop, shift, timesteps, personWeight, faceWeight } = config;
  const kept = "kept" in config ? config.kept : { headFrames: 0, tailFrames: 0 };
  const { headFrames, tailFrames } = index;
  if ((kept.headFrames ?? headFrames) !== headFrames || (kept.tailFrames ?? tailFrames) !== tailFrames) {
    throw new UserError(
      `kept.headFrames and kept.tailFrames are ${kept.headFrames} and ${kept.tailFrames}; ` +
        `the dataset has ${headFrames} and ${tailFrames} frames pasted`,
    );
  }
  return {
    shift,
    timestepWeighting: timesteps,
    dropReference: drop.reference,
    dropPose: drop.pose,
    dropHands: drop.hands,
    dropText: drop.text,
    personWeight,
    faceWeight,
    headFrames,
    tailFrames,
  };
}

/** Whether weights that do not learn are left in the files of the model folder; see the key `recompute`. */
export function staysInFiles(config: DenoiserConfig): boolean {
  return config.recompute === "blocks" && "lora" in config && config.from === null;
}

/** The weights that a training starts from, as far as it needs them; null for random ones. */
async function givenWeights(
  { from }: DenoiserConfig,
  weights: Checkpoint | null,
  needed: ParamShapes,
): Promise<Params | null> {
  if (from === null && weights === null) return null;
  const given: Record<string, Tensor<"float32">> = {};
  for (const key of needed.keys()) {
    if (weights?.tensors.has(key)) given[key] = await weights.readFloat32(key);
  }
  return from === null ? given : { ...given, ...(await loadAverages(from)) };
}

const DECAYS = (key: string): boolean => key.endsWith("weight") && !/norm|embedding/.test(key);

/** Weight matrices of blocks, of the denoiser and of both encoders, and low-rank pairs over them. */
const BLOCK_MATRIX = /\.(?:blocks|transformer)\.\d+\.(?!.*(?:norm|embedding)).*weight$/;

async function optimizerOf(
  { optimizer: { name, beta1, beta2, epsilon, weightDecay } }: DenoiserConfig,
  shapes: ParamShapes,
  isTrainable: (key: string) => boolean,
  threads: number,
): Promise<Optimizer> {
  const rest = adamW({ beta1, beta2, epsilon, weightDecay, decays: DECAYS });
  if (name === "adamw") return rest;
  const matrices = [...shapes].filter(
    ([key, shape]) => shape.length === 2 && BLOCK_MATRIX.test(key) && isTrainable(key),
  );
  return muon({
    matrices: new Map(matrices as [string, readonly [number, number]][]),
    rest,
    weightDecay,
    threads,
  });
}
