import { join } from "node:path";
import { UserError } from "../../tensor/errors.ts";
import { Random } from "../../tensor/random.ts";
import { float32 } from "../../tensor/tensor.ts";
import { createImage } from "../../media/pixels.ts";
import { type VideoVae } from "../../diffusion/latents.ts";
import { paddedIds, type PromptTokenizer } from "../../diffusion/tokenizer.ts";
import { numLatentFrames } from "../../models/wan-vae/config.ts";
import { openCheckpoint } from "../../runtime/checkpoint.ts";
import { type AbsentConditions } from "../../training/denoiser-batch.ts";
import { MODEL_SCOPES } from "../../training/denoiser-loss.ts";
import { type DenoiserRun, denoiserParams, trainDenoiser } from "../../training/denoiser-run.ts";
import { ClipDataset, type ClipShapes } from "../../training/dataset.ts";
import {
  CLIP_VISION_INIT,
  type Initializer,
  initialize,
  umt5Init,
  WAN_DIT_INIT,
} from "../../training/init.ts";
import { muon } from "../../training/muon.ts";
import { adamW, type Optimizer } from "../../training/optimizer.ts";
import { loadCheckpoint, type TrainingState } from "../../training/checkpoint.ts";
import { type Params, type StepReport } from "../../training/train.ts";
import {
  HEIGHT,
  MODELS,
  PHASES,
  type PhaseName,
  type PhaseRecipe,
  SEGMENT_FRAMES,
  SERIES,
  type SeriesName,
  TEXT_TOKENS,
  WIDTH,
} from "./recipe.ts";

const CHANNELS = MODELS.dit.outDim;
const LATENT = { height: HEIGHT / 8, width: WIDTH / 8 };

/** Field shapes of the clips of a series. */
export function clipShapes(series: SeriesName): ClipShapes {
  const video = [CHANNELS, 1 + (SERIES[series].numFrames - 1) / 4, LATENT.height, LATENT.width];
  const { imageSize } = MODELS.imageEncoder;
  return {
    video,
    pose: video,
    hand: video,
    reference: [CHANNELS, LATENT.height, LATENT.width],
    person: video.slice(1),
    tokens: [TEXT_TOKENS],
    image: [3, imageSize, imageSize],
  };
}

/** Gates start open enough for all blocks to learn from the first step; shifts and scales start near 0. */
const openGates: Initializer = (shape, random) => {
  const dim = shape.at(-1)!;
  const table = random.normals(6 * dim).map((x) => (0.1 * x) / Math.sqrt(dim));
  for (const gate of [2, 5]) table.fill(0.3, gate * dim, (gate + 1) * dim);
  return table;
};

const INIT_TABLES = {
  [`${MODEL_SCOPES.dit}.`]: [[/^blocks\.\d+\.modulation$/, openGates] as const, ...WAN_DIT_INIT],
  [`${MODEL_SCOPES.textEncoder}.`]: umt5Init(MODELS.textEncoder),
  [`${MODEL_SCOPES.imageEncoder}.`]: CLIP_VISION_INIT,
};

/** Latents of black pictures and tokens of the empty prompt. */
export async function absentConditions(vae: VideoVae, tokenizer: PromptTokenizer): Promise<AbsentConditions> {
  const frames = Array.from({ length: SEGMENT_FRAMES }, () => createImage(WIDTH, HEIGHT));
  const { data } = await vae.encode(frames);
  const plane = LATENT.height * LATENT.width;
  const latentFrames = numLatentFrames(vae.config, SEGMENT_FRAMES);
  const at = (t: number): Float32Array => {
    const out = new Float32Array(CHANNELS * plane);
    for (let c = 0; c < CHANNELS; c++) {
      const from = (c * latentFrames + t) * plane;
      out.set(data.subarray(from, from + plane), c * plane);
    }
    return out;
  };
  const emptyPrompt = Int32Array.from(paddedIds(tokenizer.tokenize("", TEXT_TOKENS), TEXT_TOKENS));
  return { blackFirst: at(0), blackNext: at(latentFrames - 1), emptyPrompt };
}

export interface PhaseOptions {
  /** Folder that holds the folders of all phases and datasets. */
  readonly run: string;
  readonly threads: number;
  readonly datasetFingerprint: string;
  readonly absent: AbsentConditions;
  readonly signal: AbortSignal;
  readonly onStep: (report: StepReport) => void;
}

/** Trains one phase, or goes on with it. Later phases start from the averaged weights of an earlier one. */
export async function trainPhase(name: PhaseName, options: PhaseOptions): Promise<TrainingState> {
  const recipe: PhaseRecipe = PHASES[name];
  const { run: folder, threads } = options;
  const run: DenoiserRun = {
    models: MODELS,
    size: { channels: CHANNELS, ...LATENT, imageSize: MODELS.imageEncoder.imageSize },
    textTokens: TEXT_TOKENS,
    stages: recipe.stages,
    sampling: recipe.sampling,
    lora: recipe.lora,
    seed: 1,
    threads,
    absent: options.absent,
    dataset: await ClipDataset.open(join(folder, `clips-${recipe.series}`), {
      fingerprint: options.datasetFingerprint,
    }),
    clipsAt: (step) =>
      Math.min(recipe.clips.all, Math.floor(recipe.clips.first + step * recipe.clips.perStep)),
  };
  const shapes = denoiserParams(run);
  const fresh = initialize(shapes, INIT_TABLES, new Random("embedded model"));
  const initial =
    recipe.from === null ? fresh : { ...fresh, ...(await averagedWeights(folder, recipe.from)) };
  const numSteps = recipe.stages.at(-1)!.untilStep;
  return trainDenoiser(run, initial, {
    folder: join(folder, name),
    fingerprint: phaseFingerprint(name),
    learningRate: { peak: recipe.peakLearningRate, numSteps, warmup: recipe.warmup, floor: recipe.floor },
    optimizer: await optimizerOf(recipe, shapes, threads),
    maxGradientNorm: 1,
    emaDecay: recipe.emaDecay,
    checkpointEverySteps: 50,
    signal: options.signal,
    onStep: options.onStep,
  });
}

/** What a phase's checkpoints are marked with. */
export function phaseFingerprint(name: PhaseName): string {
  return JSON.stringify([name, MODELS, PHASES[name]]);
}

const DECAYS = (key: string): boolean => key.endsWith("weight") && !/norm|embedding/.test(key);

/** Weight matrices of blocks, of the denoiser and of both encoders. */
const BLOCK_MATRIX = /\.(?:blocks|transformer)\.\d+\.(?!.*(?:norm|embedding)).*weight$/;

async function optimizerOf(
  recipe: PhaseRecipe,
  shapes: ReadonlyMap<string, readonly number[]>,
  threads: number,
): Promise<Optimizer> {
  const rest = adamW({ beta2: 0.99, weightDecay: 0.01, decays: DECAYS });
  if (recipe.lora) return rest;
  const matrices = [...shapes].filter(([key, shape]) => shape.length === 2 && BLOCK_MATRIX.test(key));
  return muon({
    matrices: new Map(matrices as [string, readonly [number, number]][]),
    rest,
    weightDecay: 0.01,
    threads,
  });
}

/** Averaged weights of a phase's newest checkpoint. @throws UserError when it has not begun */
export async function averagedWeights(run: string, phase: PhaseName): Promise<Params> {
  const state = await loadCheckpoint(join(run, phase), phaseFingerprint(phase));
  if (!state)
    throw new UserError(`${join(run, phase)} holds no checkpoint; train the phase "${phase}" first`);
  return Object.fromEntries(
    Object.entries(state.params).map(([key, { shape }]) => [key, float32(state.average[key]!, shape)]),
  );
}

/** All tensors of a file as float32. */
export async function readAll(path: string): Promise<Params> {
  const file = await openCheckpoint(path);
  const keys = [...file.tensors.keys()];
  return Object.fromEntries(
    await Promise.all(keys.map(async (key) => [key, await file.readFloat32(key)] as const)),
  );
}
