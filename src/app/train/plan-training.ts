/** What a training will take, before it begins: `posegen train --dry-run`. */
import { numImageTokens } from "../../models/clip-vision/config.ts";
import { matmulSpeed } from "../../runtime/measure.ts";
import type { Checkpoint, TensorEntry } from "../../runtime/safetensors.ts";
import { sizeOf } from "../../tensor/tensor.ts";
import { type StageCost, stageCost } from "../../training/denoiser-cost.ts";
import { heldDatasetBytes } from "../../training/dataset.ts";
import { type DatasetClip, readDatasetIndex } from "../../training/dataset-index.ts";
import { type DenoiserNetwork, sharedStages } from "../../training/denoiser-run.ts";
import { heldVaeClipBytes } from "../../training/vae-train.ts";
import { type DenoiserConfig, type TrainingConfig, type VaeConfig } from "./config.ts";
import { staysInFiles } from "./denoiser-setup.ts";
import { ownCores } from "./in-group.ts";
import { VAE_PRESETS, openModelWeights } from "./model-source.ts";
import { openNetwork } from "./network.ts";
import { openVaeFiles } from "./trained-vae.ts";
import { vaeStageCost } from "./vae-setup.ts";

export interface StagePlan {
  readonly name: string;
  readonly numSteps: number;
  readonly samplesPerStep: number;
  /** Of one sample: video and reference tokens; null for the VAE, which has none. */
  readonly tokens: { readonly video: number; readonly reference: number } | null;
  readonly flopsPerStep: number;
  readonly memoryBytes: number;
  readonly estimatedMs: number;
}

export interface TrainingPlan {
  readonly stages: readonly StagePlan[];
  readonly numTrainable: number;
  readonly numFrozen: number;
  /**
   * What the encoders make of captions and references before the first step, at most: captions may be shorter, and
   * references the same. Null where encoders learn, and without a dataset.
   */
  readonly encodedBytes: number | null;
  /** Speed of matrix products on this machine. */
  readonly gflops: number;
}

/** Share of the speed of matrix products that training steps reach: `npm run bench` found 78 to 82 %. */
const SPEED_SHARE = 0.8;
/** Node.js with the engine. */
const PROGRAM_BYTES = 300e6;
/**
 * What ONNX Runtime takes for each byte of intermediate results that live at the same time: 1.75 and 1.78 for steps of
 * the mini base with 4 clips of 1 and of 3 latent frames at 128x192.
 */
const WORKING_FACTOR = 1.8;
/** Per trained parameter: itself, its average, gradient, two moments, and the copy that starts are made from. */
const TRAINED_COPIES = 6;

/**
 * @param numProcesses that share out the clips of a step; memory is that of one of them
 * @throws UserError when model or dataset do not fit the settings
 */
export async function planTraining(config: TrainingConfig, numProcesses = 1): Promise<TrainingPlan> {
  const threads = config.threads ?? ownCores();
  const gflops = await matmulSpeed({ threads, numProducts: 2, numRuns: 3 });
  const { stages, encodedBytes } =
    config.kind === "vae" ? await vaeStages(config) : await denoiserStages(config, numProcesses);
  const [{ cost }] = stages as readonly [Stage];
  return {
    stages: stages.map((stage) => planStage(stage, numProcesses, gflops)),
    numTrainable: cost.trainableBytes / 4,
    numFrozen: (cost.weightBytes - cost.trainableBytes) / 4,
    encodedBytes,
    gflops,
  };
}

interface Stage extends Pick<StagePlan, "name" | "numSteps" | "tokens"> {
  /** Clips that pass at the same time, and passes of a step in all processes together. */
  readonly batch: number;
  readonly numPasses: number;
  /** Of one pass. */
  readonly cost: StageCost;
  /** Of weights that do not learn, as far as they are in memory. */
  readonly frozenBytes: number;
  /** Of clips that are kept in memory. */
  readonly clipBytes: number;
}

function planStage(
  { batch, numPasses, cost, frozenBytes, clipBytes, ...stage }: Stage,
  numProcesses: number,
  gflops: number,
): StagePlan {
  const flopsPerStep = numPasses * cost.flops;
  return {
    ...stage,
    samplesPerStep: numPasses * batch,
    flopsPerStep,
    memoryBytes:
      PROGRAM_BYTES +
      frozenBytes +
      clipBytes +
      TRAINED_COPIES * cost.trainableBytes +
      WORKING_FACTOR * cost.workingBytes,
    estimatedMs: (stage.numSteps * flopsPerStep) / numProcesses / (SPEED_SHARE * gflops * 1e6),
  };
}

type Stages = Pick<TrainingPlan, "encodedBytes"> & { readonly stages: readonly Stage[] };

async function denoiserStages(config: DenoiserConfig, numProcesses: number): Promise<Stages> {
  const { network, source, index } = await openNetwork(config, true);
  const clipBytes = await heldClipBytes(config);
  const stored = staysInFiles(config) && source.folder ? await openModelWeights(source.folder) : null;
  const stages = sharedStages(config, { size: numProcesses }).map((stage, i) => {
    const numFrames = 4 * stage.latentFrames - 3;
    const cost = stageCost(network, stage);
    const frozenBytes = stored
      ? cost.frozenBytes * storedShare(stored)
      : cost.weightBytes - cost.trainableBytes;
    return {
      name: `${stage.latentFrames} latent frames (${numFrames} frames)`,
      numSteps: stage.untilStep - (config.stages[i - 1]?.untilStep ?? 0),
      batch: stage.batch,
      numPasses: stage.numPasses,
      tokens: tokensOf(network, stage.latentFrames),
      cost,
      frozenBytes,
      clipBytes,
    };
  });
  const clips = index?.clips.slice(0, config.dataset.clips ?? index.clips.length);
  return { stages, encodedBytes: clips && network.lora ? encodedBytesOf(clips, network) : null };
}

function encodedBytesOf(clips: readonly DatasetClip[], { models, textTokens }: DenoiserNetwork): number {
  const { textEncoder, imageEncoder } = models;
  // The empty prompt is one of them.
  const numCaptions = new Set(["", ...clips.map(({ caption }) => caption)]).size;
  return (
    4 * numCaptions * textTokens * textEncoder.dim +
    4 * clips.length * numImageTokens(imageEncoder) * imageEncoder.dim
  );
}

/** Of the datasets that are there already. */
async function heldClipBytes(config: DenoiserConfig): Promise<number> {
  const pasted = "interpolation" in config ? config.interpolation.folder : null;
  const folders = [config.dataset.folder, ...(pasted === null ? [] : [pasted])];
  const indexes = await Promise.all(folders.map((folder) => readDatasetIndex(folder).catch(() => null)));
  return indexes.reduce((sum, index) => sum + (index ? heldDatasetBytes(index) : 0), 0);
}

/** Bytes of weights as they are stored, as a share of what they take as float32. */
function storedShare({ tensors }: Checkpoint): number {
  const sum = (of: (entry: TensorEntry) => number): number =>
    [...tensors.values()].reduce((total, entry) => total + of(entry), 0);
  return sum(({ byteLength }) => byteLength) / sum(({ shape }) => 4 * sizeOf(shape));
}

function tokensOf({ models, size }: DenoiserNetwork, latentFrames: number): StagePlan["tokens"] {
  const [pt, ph, pw] = models.dit.patchSize;
  const perFrame = (size.height / ph) * (size.width / pw);
  return { video: (latentFrames / pt) * perFrame, reference: perFrame };
}

async function vaeStages(config: VaeConfig): Promise<Stages> {
  const { window, from, model, steps, clips } = config;
  // A VAE that is still to be trained has the size that the settings name.
  const found = from === null ? null : await openVaeFiles(from).catch(() => null);
  const architecture = found?.config ?? VAE_PRESETS[model];
  const name = `windows of ${window.width}x${window.height}, ${window.numFrames} frames`;
  const cost = vaeStageCost(config, architecture);
  const stage = {
    name,
    numSteps: steps,
    batch: window.batch,
    numPasses: config.accumulate,
    tokens: null,
    cost,
    frozenBytes: cost.weightBytes - cost.trainableBytes,
    clipBytes: heldVaeClipBytes(clips.train + clips.heldOut),
  };
  return { stages: [stage], encodedBytes: null };
}
