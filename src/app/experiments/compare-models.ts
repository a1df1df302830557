/** An experiment's table: models in rows, figures in columns, and above them what needs no denoiser. */
import { join } from "node:path";
import { openModelFolder } from "../../diffusion/model-folder.ts";
import { UserError } from "../../tensor/errors.ts";
import { type ExperimentFigures, figuresOf } from "./figures.ts";
import { BASELINES, type Baseline, type MeasureOptions, type Subject, baseline, measure } from "./measure.ts";
import { type Phase1Config, type TrainingOptions, modelAtStep } from "./trained-model.ts";

export interface ExperimentOptions extends TrainingOptions, Omit<MeasureOptions, "work" | "signal"> {
  /** The first phase that is trained. Its `out` is not used. */
  readonly config: Phase1Config;
  /** Folder of runs, models and finished clips. */
  readonly out: string;
  /** Seed of the noise that videos start from. */
  readonly seed: number;
}

/**
 * A model in an experiment's folder; see `modelAtStep`.
 * @param run name of its training there
 */
export function experimentModel(
  run: string,
  step: number,
  { config, out, ...options }: ExperimentOptions,
): Promise<string> {
  const folder = join(out, "models", run, `step-${step}`);
  return modelAtStep({ ...config, out: join(out, "runs", run) }, step, folder, options);
}

export interface Comparison {
  /** How models were measured. */
  readonly settings: Readonly<Record<string, number | string>>;
  readonly baselines: Readonly<Record<Baseline, ExperimentFigures>>;
  /** Of the subjects, in their order. */
  readonly figures: readonly ExperimentFigures[];
}

/**
 * Measures what models generate beside the baselines.
 * @param model one of the models; all have its VAE and its size of segments
 * @throws UserError for fewer than two clips
 */
export async function compareModels(
  subjects: readonly Subject[],
  model: string,
  options: ExperimentOptions,
): Promise<Comparison> {
  const { out, numClips, seed, poseStep, poseQuality } = options;
  if (numClips < 2)
    throw new UserError(`got ${numClips} clip; people are compared with each other, so expected at least 2`);
  const all = [...BASELINES.map((name) => baseline(name)), ...subjects];
  const measured = await measure(all, model, { ...options, work: join(out, "clips") });
  const figures = measured.map((clips) => figuresOf(clips, measured[BASELINES.indexOf("truth")]!));
  const { defaults } = (await openModelFolder(model)).description;
  const { width, height, segmentFrames: numFrames, steps, guidanceScale } = defaults;
  return {
    settings: { numClips, width, height, numFrames, steps, guidanceScale, seed, poseStep, poseQuality },
    baselines: Object.fromEntries(BASELINES.map((name, i) => [name, figures[i]!])) as Comparison["baselines"],
    figures: figures.slice(BASELINES.length),
  };
}
