/** One segment from noise to data (method section 3). Shapes: [16, f, h, w] latents. */
import { torchNoise } from "../tensor/torch-noise.ts";
import { type GuidanceBranch, guidedVelocity } from "./guidance.ts";
import { type Schedule, step } from "./schedule.ts";

/** Latents on their way from noise to data. */
export interface DenoiseState {
  /** Steps finished. */
  readonly step: number;
  readonly latents: Float32Array;
}

/** Gives the velocity at a step of the schedule. */
export type Predict = (call: {
  /** Of the schedule, from 0. */
  readonly step: number;
  readonly branch: GuidanceBranch;
  readonly latents: Float32Array;
  /** 0-1000 */
  readonly timestep: number;
}) => Promise<Float32Array>;

export interface DenoiseOptions {
  readonly schedule: Schedule;
  readonly guidanceScale: number;
  /** Where to begin: `initialState`, or what `onStep` was given. */
  readonly from: DenoiseState;
  readonly predict: Predict;
  /** Step to stop before; by default the end of the schedule. */
  readonly untilStep?: number;
  /** Called after each step; the next one waits for it. */
  readonly onStep?: (state: DenoiseState) => void | Promise<void>;
  readonly signal?: AbortSignal | undefined;
}

/**
 * The noise that every segment starts from: that of `torch.randn` for the seed, the same for all segments as in the
 * published pipeline.
 * @param shape [16, f, h, w] of the latents
 */
export function initialState(shape: readonly number[], seed: number): DenoiseState {
  return { step: 0, latents: torchNoise([1, ...shape], seed).data };
}

/** Euler steps along the guided velocity. The same start and predictions give the same bytes. */
export async function denoise(options: DenoiseOptions): Promise<DenoiseState> {
  const { schedule, guidanceScale, predict, onStep, signal } = options;
  const { untilStep = schedule.timesteps.length } = options;
  let state = options.from;
  while (state.step < untilStep) {
    const { step: index, latents } = state;
    const velocity = await guidedVelocity(guidanceScale, (branch) => {
      signal?.throwIfAborted();
      return predict({ step: index, branch, latents, timestep: schedule.timesteps[index]! });
    });
    state = { step: index + 1, latents: step(schedule, index, latents, velocity) };
    await onStep?.(state);
    signal?.throwIfAborted();
  }
  return state;
}
