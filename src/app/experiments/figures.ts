/** What experiments compare: means over held-out clips, and distances between sets of them. */
import { featureStatistics, frechetDistance } from "../../evaluation/frechet.ts";
import { distanceBetweenPeople, identityDistance } from "../../evaluation/identity-distance.ts";
import {
  type Figures,
  type MetricFormat,
  VIDEO_METRICS,
  type VideoMetric,
  mean,
  meanFigures,
} from "../evaluate/figures.ts";
import type { MeasuredClip } from "./measure.ts";

const { pck10, armsPck10, psnr, ssim, personPsnr, personSsim } = VIDEO_METRICS;

export const EXPERIMENT_METRICS = {
  pck10,
  armsPck10,
  psnr,
  ssim,
  personPsnr,
  personSsim,
  identity: { title: "identity distance", digits: 3 },
  frechet: { title: "Fréchet distance", digits: 3 },
} as const satisfies Record<string, MetricFormat>;

export type ExperimentMetric = keyof typeof EXPERIMENT_METRICS;
export type ExperimentFigures = Figures<ExperimentMetric | VideoMetric>;

/**
 * The figures of a video in all clips.
 * @param truth the same of the true frames
 * @throws UserError for fewer than two clips
 */
export function figuresOf(clips: readonly MeasuredClip[], truth: readonly MeasuredClip[]): ExperimentFigures {
  const means = meanFigures(clips.map(({ figures }) => figures));
  return { ...means, identity: identityOf(clips, truth), frechet: frechetOf(clips, truth) };
}

function identityOf(clips: readonly MeasuredClip[], truth: readonly MeasuredClip[]): number {
  const people = truth.map(({ person }) => Float64Array.from(person));
  const unit = distanceBetweenPeople(people);
  return mean(clips.map(({ person }, i) => identityDistance(Float64Array.from(person), people[i]!, unit)));
}

function frechetOf(clips: readonly MeasuredClip[], truth: readonly MeasuredClip[]): number {
  const statistics = (of: readonly MeasuredClip[]) =>
    featureStatistics(
      of.flatMap(({ features }) => features),
      of[0]!.features.length,
    );
  // Rounding can leave less than nothing.
  return Math.max(0, frechetDistance(statistics(clips), statistics(truth)));
}
