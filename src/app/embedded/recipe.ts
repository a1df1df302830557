/** How the embedded model is made: every number of it. */
import { CLIP_VISION_PRESETS } from "../../models/clip-vision/config.ts";
import { UMT5_PRESETS } from "../../models/umt5/config.ts";
import { WAN_DIT_PRESETS } from "../../models/wan-dit/config.ts";
import { type DenoiserSampling } from "../../training/denoiser-batch.ts";
import { type DenoiserModels } from "../../training/denoiser-loss.ts";
import { type DenoiserStage, type LoraRecipe } from "../../training/denoiser-run.ts";
import { type ClipRecipe } from "../../training/render-training-clip.ts";

export const MODELS: DenoiserModels = {
  dit: WAN_DIT_PRESETS.mini,
  textEncoder: UMT5_PRESETS.mini,
  imageEncoder: CLIP_VISION_PRESETS.mini,
};

/** Tokens of a prompt; captions have about 35. */
export const TEXT_TOKENS = 48;

export const WIDTH = 96;
export const HEIGHT = 128;
export const FPS = 16;
export const SEGMENT_FRAMES = 33;
/** About a quarter of a segment at either end: 4a + 1 and 4b frames. */
const HEAD_FRAMES = 9;
const TAIL_FRAMES = 8;

const CLIPS = { world: "easy", width: WIDTH, height: HEIGHT, numFrames: SEGMENT_FRAMES } as const;

/** Series of rendered clips: many short ones to begin with; those of interpolated segments have pictures at their ends. */
export const SERIES = {
  short: { ...CLIPS, series: "short", numFrames: 9, headFrames: 0, tailFrames: 0 },
  train: { ...CLIPS, series: "train", headFrames: 0, tailFrames: 0 },
  interpolated: { ...CLIPS, series: "interpolated", headFrames: HEAD_FRAMES, tailFrames: TAIL_FRAMES },
} as const satisfies Record<string, ClipRecipe>;

/** Never trained on; the README's figures are measured on its first clips. */
export const HELD_OUT_SERIES: ClipRecipe = { ...SERIES.train, series: "held out" };

export type SeriesName = keyof typeof SERIES;

export interface PhaseRecipe {
  readonly series: SeriesName;
  /** Phase whose weights this one starts from. */
  readonly from: "start" | "base" | null;
  readonly stages: readonly DenoiserStage[];
  readonly sampling: DenoiserSampling;
  readonly lora: LoraRecipe | null;
  readonly peakLearningRate: number;
  readonly warmup: number;
  /** Share of the peak learning rate at the end. */
  readonly floor: number;
  readonly emaDecay: number;
  /** Clips to start with, and clips more per step while the dataset is being rendered. */
  readonly clips: { readonly first: number; readonly perStep: number; readonly all: number };
}

const SAMPLING: DenoiserSampling = {
  shift: 3,
  dropReference: 0,
  dropPose: 0.05,
  dropHands: 0.1,
  dropText: 0.1,
  personWeight: 2,
  keptHead: 0,
  keptTail: 0,
};

/**
 * The base is pretrained with skeletons in the mixture, because one this small does not learn them well from LoRA
 * alone. The two phases then follow the paper: low-rank pairs and patch embeddings over a frozen base.
 */
export const PHASES = {
  start: {
    series: "short",
    from: null,
    stages: [
      { untilStep: 300, latentFrames: 1, batch: 32 },
      { untilStep: 1000, latentFrames: 3, batch: 16 },
    ],
    sampling: { ...SAMPLING, dropReference: 0.05 },
    lora: null,
    peakLearningRate: 1e-3,
    warmup: 0.05,
    floor: 0.5,
    emaDecay: 0.99,
    clips: { first: 640, perStep: 1, all: 1600 },
  },
  base: {
    series: "train",
    from: "start",
    stages: [{ untilStep: 560, latentFrames: 9, batch: 8 }],
    sampling: { ...SAMPLING, dropReference: 0.05 },
    lora: null,
    peakLearningRate: 6e-4,
    warmup: 0.03,
    floor: 0.03,
    emaDecay: 0.995,
    clips: { first: 640, perStep: 0, all: 640 },
  },
  phase1: {
    series: "train",
    from: "base",
    stages: [{ untilStep: 60, latentFrames: 9, batch: 8 }],
    sampling: { ...SAMPLING, dropPose: 0 },
    lora: { rank: 16, alpha: 1 },
    peakLearningRate: 3e-4,
    warmup: 0.1,
    floor: 0,
    emaDecay: 0.98,
    clips: { first: 640, perStep: 0, all: 640 },
  },
  phase2: {
    series: "interpolated",
    from: "base",
    stages: [{ untilStep: 140, latentFrames: 9, batch: 8 }],
    sampling: { ...SAMPLING, dropPose: 0, keptHead: 3, keptTail: 2 },
    lora: { rank: 16, alpha: 1 },
    peakLearningRate: 6e-4,
    warmup: 0.1,
    floor: 0,
    emaDecay: 0.99,
    clips: { first: 320, perStep: 0, all: 320 },
  },
} as const satisfies Record<string, PhaseRecipe>;

export type PhaseName = keyof typeof PHASES;
