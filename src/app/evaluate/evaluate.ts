/** Evaluates a model on held-out clips. Finished clips are kept, so that a stopped evaluation goes on. */
import { createHash } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { LoadedModel } from "../../diffusion/loaded-model.ts";
import {
  MODEL_FILES,
  MODEL_JSON,
  type ModelDescription,
  TOKENIZER_JSON,
  openModelFolder,
} from "../../diffusion/model-folder.ts";
import { encodeImage, readImage } from "../../media/image.ts";
import type { Image } from "../../media/pixels.ts";
import type { PoseTrackerOptions } from "../../perception/pose.ts";
import { planSegments } from "../../pipeline/plan.ts";
import { WorkDirectory, hashFile } from "../../pipeline/work-directory.ts";
import type { ClipRecipe } from "../../training/render-training-clip.ts";
import { FPS, HELD_OUT_SERIES, TRAINING_SERIES } from "./series.ts";
import { contactSheet } from "./contact-sheet.ts";
import { type EvaluatedClip, type EvaluationTools, evaluateClip } from "./evaluate-clip.ts";
import type { ClipFigures } from "./figures.ts";
import { renderHeldOutClip } from "./held-out-clip.ts";
import { PoseJudge } from "./pose-judge.ts";
import { TrainingClips } from "./training-clips.ts";

export interface EvaluationOptions {
  /** Model folder. */
  readonly model: string;
  /** Held-out clips: the first ones of their series. */
  readonly numClips: number;
  /** Clips of the training series that the nearest one is searched in. */
  readonly numTrainingClips: number;
  /** The pose network looks at every poseStep-th frame. */
  readonly poseStep: number;
  readonly poseQuality: NonNullable<PoseTrackerOptions["quality"]>;
  readonly seed: number;
  /** Denoising steps; by default the model's. */
  readonly steps?: number | undefined;
  /** Clips worked on at the same time, each in one thread. The result does not depend on it. */
  readonly numJobs: number;
  /** Folder of finished clips. */
  readonly work: string;
  readonly onClip?: (figures: ClipFigures, numFinished: number) => void;
  readonly signal?: AbortSignal | undefined;
}

export interface Evaluation {
  /** The model's name, and a hash of all its files. */
  readonly model: string;
  readonly modelHash: string;
  readonly settings: Readonly<Record<string, number | string>>;
  readonly clips: readonly ClipFigures[];
  readonly sheet: Image;
}

/** Changes whenever the same settings would give other figures. */
const EVALUATION_VERSION = 1;

/** @throws UserError for a folder that holds no model; the signal's reason when it is aborted */
export async function evaluate(options: EvaluationOptions): Promise<Evaluation> {
  const { model, numClips, numTrainingClips } = options;
  const { description } = await openModelFolder(model);
  const modelHash = await hashModel(model);
  const settings = settingsOf(options, description);
  const work = await openWork(options.work, { modelHash, ...settings });
  try {
    const recipes = recipesFor(description);
    const trainingClips = new TrainingClips(recipes.training, numTrainingClips);
    let numFinished = 0;
    const evaluated = await inJobs(options, trainingClips, async (index, tools, signal) => {
      const clip = await clipStep(work, index, () =>
        evaluateClip(renderHeldOutClip(recipes.heldOut, index), tools, signal),
      );
      options.onClip?.(clip.figures, ++numFinished);
      return clip;
    });
    const clips = evaluated.map(({ figures }) => figures);
    const sheet = contactSheet(evaluated.map(({ row }) => row));
    return { model: description.name, modelHash, settings: { numClips, ...settings }, clips, sheet };
  } finally {
    await work.close();
  }
}

/** A clip that an earlier run has finished, or the result of `run`. */
async function clipStep(
  work: WorkDirectory,
  index: number,
  run: () => Promise<EvaluatedClip>,
): Promise<EvaluatedClip> {
  const id = `clip-${String(index).padStart(4, "0")}`;
  const { paths } = await work.step({
    id,
    files: [`${id}.figures`, `${id}.png`],
    async run([figuresPath, rowPath]) {
      const { figures, row } = await run();
      await writeFile(figuresPath!, JSON.stringify(figures));
      await writeFile(rowPath!, await encodeImage(row, "png"));
    },
  });
  const [figuresPath, rowPath] = paths as [string, string];
  return {
    figures: JSON.parse(await readFile(figuresPath, "utf8")) as ClipFigures,
    row: await readImage(rowPath),
  };
}

/** Runs a task for every clip, a few at a time; the first failure stops the others. */
async function inJobs<T>(
  options: EvaluationOptions,
  trainingClips: TrainingClips,
  task: (index: number, tools: EvaluationTools, signal: AbortSignal) => Promise<T>,
): Promise<T[]> {
  const failure = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, failure.signal]) : failure.signal;
  const results: T[] = [];
  let next = 0;
  const runJob = async (): Promise<void> => {
    const opened = await openTools(options, trainingClips);
    try {
      for (let index = next++; index < options.numClips; index = next++) {
        signal.throwIfAborted();
        results[index] = await task(index, opened.tools, signal);
      }
    } finally {
      await opened.release();
    }
  };
  const jobs = Array.from({ length: options.numJobs }, () =>
    runJob().catch((error: unknown) => failure.abort(error)),
  );
  await Promise.all(jobs);
  failure.signal.throwIfAborted();
  return results;
}

/** Networks of one job; they hold what they were last asked for, so that jobs cannot share them. */
async function openTools(
  { model, seed, steps, poseStep, poseQuality }: EvaluationOptions,
  trainingClips: TrainingClips,
): Promise<{ tools: EvaluationTools; release: () => Promise<void> }> {
  const loaded = await LoadedModel.open(model, { device: "cpu", threads: 1 });
  const judge = await PoseJudge.load({ quality: poseQuality });
  const generation = { model, seed, fps: FPS, threads: 1, ...(steps !== undefined && { steps }) };
  return {
    tools: { vae: loaded.vae, judge, trainingClips, generation, poseStep },
    async release() {
      await loaded.release();
      await judge.release();
    },
  };
}

/** Series of held-out and of training clips at the model's size. Held-out clips have two base segments. */
function recipesFor({ defaults }: ModelDescription): Record<"heldOut" | "training", ClipRecipe> {
  const { width, height, segmentFrames } = defaults;
  const { segments } = planSegments(segmentFrames + 1, { segmentFrames });
  return {
    heldOut: { ...HELD_OUT_SERIES, width, height, numFrames: segments.at(-1)!.start + segmentFrames },
    training: { ...TRAINING_SERIES, width, height },
  };
}

/** All that figures depend on but the model. */
function settingsOf(options: EvaluationOptions, description: ModelDescription) {
  const { seed, steps, poseStep, poseQuality, numTrainingClips } = options;
  const { defaults } = description;
  const { width, height, numFrames } = recipesFor(description).heldOut;
  return {
    version: EVALUATION_VERSION,
    width,
    height,
    fps: FPS,
    numFrames,
    segmentFrames: defaults.segmentFrames,
    steps: steps ?? defaults.steps,
    guidanceScale: defaults.guidanceScale,
    seed,
    poseStep,
    poseQuality,
    numTrainingClips,
  };
}

async function hashModel(model: string): Promise<string> {
  const hash = createHash("sha256");
  for (const name of [MODEL_JSON, TOKENIZER_JSON, ...Object.values(MODEL_FILES)]) {
    hash.update(await hashFile(join(model, name)));
  }
  return hash.digest("hex");
}

/** The folder of one model and setting; those of others stay beside it. */
async function openWork(
  folder: string,
  settings: Readonly<Record<string, number | string>>,
): Promise<WorkDirectory> {
  const texts = Object.fromEntries(Object.entries(settings).map(([name, value]) => [name, String(value)]));
  const id = createHash("sha256").update(JSON.stringify(texts)).digest("hex").slice(0, 16);
  return WorkDirectory.open(join(folder, id), texts);
}
