/** What the first phase teaches a base, and how fast: figures at shares of its steps. */
import { numStepsOf } from "../train/config.ts";
import { type Comparison, type ExperimentOptions, compareModels, experimentModel } from "./compare-models.ts";
import type { ExperimentFigures } from "./figures.ts";
import { generated } from "./measure.ts";

/** Shares of all steps after which the model is measured, beside its start. */
const SHARES = [0.25, 0.5, 1];

const RUN = "phase1";

export interface Phase1Curve extends Omit<Comparison, "figures"> {
  /** What the training starts from, shown no skeleton. */
  readonly withoutSkeleton: ExperimentFigures;
  /** Ascending from 0, which is what the training starts from. */
  readonly points: readonly CurvePoint[];
}

export interface CurvePoint {
  /** Steps of the training. */
  readonly step: number;
  readonly figures: ExperimentFigures;
}

/** @throws UserError when settings, data and earlier runs do not fit together; the signal's reason */
export async function phase1Curve(options: ExperimentOptions): Promise<Phase1Curve> {
  const { config, seed } = options;
  const numSteps = numStepsOf(config);
  const start = await experimentModel(RUN, 0, options);
  const steps = [...new Set(SHARES.map((share) => Math.round(share * numSteps)))].filter((step) => step > 0);
  const trained: string[] = [];
  for (const step of steps) trained.push(await experimentModel(RUN, step, options));
  const subjects = [await generated(start, "none", seed)];
  for (const model of [start, ...trained]) subjects.push(await generated(model, "given", seed));
  const { figures, ...comparison } = await compareModels(subjects, start, options);
  const [withoutSkeleton, ...measured] = figures;
  return {
    ...comparison,
    withoutSkeleton: withoutSkeleton!,
    points: [0, ...steps].map((step, i) => ({ step, figures: measured[i]! })),
  };
}
