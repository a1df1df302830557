import { timestepWeights } from "../diffusion/loss.ts";
import { flowMatchSchedule } from "../diffusion/schedule.ts";

/**
 * Which noise levels a training draws and what their errors count: `published`, the 1,000 steps of the published
 * trainer with its bell-shaped weights (method section 6), or `uniform`, any level, all alike.
 */
export type TimestepWeighting = "published" | "uniform";

export interface NoiseLevel {
  /** Share of noise, 0..1. */
  readonly sigma: number;
  /** Factor of the squared error, 1 on average. */
  readonly weight: number;
}

const NUM_TRAIN_STEPS = 1000;

/**
 * Turns uniform numbers u in [0, 1) into noise levels: sigma = shift u / (1 + (shift - 1) u).
 * `published` moves u up to the next of 1,000 steps first.
 */
export function noiseLevels(shift: number, weighting: TimestepWeighting): (u: number) => NoiseLevel {
  if (weighting === "uniform") {
    return (u) => ({ sigma: (shift * u) / (1 + (shift - 1) * u), weight: 1 });
  }
  const schedule = flowMatchSchedule(NUM_TRAIN_STEPS, { shift });
  const weights = timestepWeights(schedule);
  return (u) => {
    // The schedule falls: its last step is the smallest level.
    const index = NUM_TRAIN_STEPS - 1 - Math.floor(u * NUM_TRAIN_STEPS);
    return { sigma: schedule.sigmas[index]!, weight: weights[index]! };
  };
}
