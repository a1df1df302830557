/** Evaluates a model on held-out clips. Finished clips are kept, so that a stopped evaluation goes on. */
import { type ModelDescription, openModelFolder } from "../../diffusion/model-folder.ts";
import type { Image } from "../../media/pixels.ts";
import type { PoseTrackerOptions } from "../../perception/pose.ts";
import { contactSheet } from "./contact-sheet.ts";
import { type EvaluationTools, evaluateClip } from "./evaluate-clip.ts";
import { hashModel, openWork, picturedClipStep } from "./evaluation-folder.ts";
import type { ClipFigures } from "./figures.ts";
import { renderHeldOutClip } from "./held-out-clip.ts";
import { type JobOptions, type JobTools, inJobs } from "./jobs.ts";
import { openJudgingTools } from "./judging-tools.ts";
import { FPS, heldOutSeries, trainingSeries } from "./series.ts";
import { TrainingClips } from "./training-clips.ts";

export interface EvaluationOptions extends JobOptions {
  /** Model folder. */
  readonly model: string;
  /** Clips of the training series that the nearest one is searched in. */
  readonly numTrainingClips: number;
  /** The pose network looks at every poseStep-th frame. */
  readonly poseStep: number;
  readonly poseQuality: NonNullable<PoseTrackerOptions["quality"]>;
  readonly seed: number;
  /** Denoising steps; by default the model's. */
  readonly steps?: number | undefined;
  /** Folder of finished clips. */
  readonly work: string;
  readonly onClip?: (figures: ClipFigures, numFinished: number) => void;
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
    const heldOut = heldOutSeries(description);
    const trainingClips = new TrainingClips(trainingSeries(description), numTrainingClips);
    let numFinished = 0;
    const openJob = () => openTools(options, trainingClips);
    const evaluated = await inJobs(options, openJob, async (index, tools, signal) => {
      const clip = await picturedClipStep(work, "clip", index, () =>
        evaluateClip(renderHeldOutClip(heldOut, index), tools, signal),
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

async function openTools(
  { model, seed, steps, poseStep, poseQuality }: EvaluationOptions,
  trainingClips: TrainingClips,
): Promise<JobTools<EvaluationTools>> {
  const { tools, release } = await openJudgingTools(model, poseQuality);
  const generation = { model, seed, fps: FPS, threads: 1, ...(steps !== undefined && { steps }) };
  return { tools: { ...tools, trainingClips, generation, poseStep }, release };
}

/** All that figures depend on but the model. */
function settingsOf(options: EvaluationOptions, description: ModelDescription) {
  const { seed, steps, poseStep, poseQuality, numTrainingClips } = options;
  const { defaults } = description;
  const { width, height, numFrames } = heldOutSeries(description);
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
