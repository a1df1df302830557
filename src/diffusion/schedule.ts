/**
 * Flow-matching schedule and its Euler step (method section 3): x_sigma = (1 - sigma) data + sigma noise, velocity
 * dx/dsigma = noise - data, sampled from sigma 1 (noise) down to 0 (data).
 */
import { UserError } from "../tensor/errors.ts";
import { roundToBfloat16 } from "../tensor/float16.ts";

export interface ScheduleOptions {
  /** Moves steps towards the noisy end: sigma = shift l / (1 + (shift - 1) l). 1 spaces them evenly. */
  readonly shift?: number;
  /** Sigma at which sampling starts, 0..1: below 1 it starts from partly noised data. */
  readonly strength?: number;
  /** Sigma, before the shift, that the evenly spaced values run to. */
  readonly sigmaMin?: number;
  /** Timestep of sigma 1. */
  readonly numTrainTimesteps?: number;
  /**
   * What the denoiser is told: `float32`, the exact timesteps, or `bfloat16`, rounded as the published pipeline
   * rounds them (937.5 becomes 936). Steps use the exact sigmas either way.
   */
  readonly timestepPrecision?: "float32" | "bfloat16";
}

export interface Schedule {
  /** Noise level at which each step evaluates the velocity, falling, in (0, 1]. After the last step it is 0. */
  readonly sigmas: Float32Array;
  /** What the denoiser is told at each step: numTrainTimesteps * sigma. */
  readonly timesteps: Float32Array;
}

/**
 * The schedule of a sampling run, or with 1,000 steps the one that training draws its noise levels from.
 * The evenly spaced values leave out their end point ("extra step"): the last step goes from the last sigma to 0.
 * @throws UserError for a number of steps that is not whole and positive, or options out of range
 */
export function flowMatchSchedule(numSteps: number, options: ScheduleOptions = {}): Schedule {
  const {
    shift = 5,
    strength = 1,
    sigmaMin = 0,
    numTrainTimesteps = 1000,
    timestepPrecision = "float32",
  } = options;
  if (!Number.isInteger(numSteps) || numSteps < 1) {
    throw new UserError(`got ${numSteps} sampling steps; expected a whole number of at least 1`);
  }
  if (!(shift > 0)) throw new UserError(`got a schedule shift of ${shift}; expected a number above 0`);
  if (!(strength > 0 && strength <= 1)) {
    throw new UserError(`got a denoising strength of ${strength}; expected a number above 0 and at most 1`);
  }
  if (!(sigmaMin >= 0 && sigmaMin < 1)) {
    throw new UserError(`got a lowest sigma of ${sigmaMin}; expected a number of at least 0 and below 1`);
  }
  const start = sigmaMin + (1 - sigmaMin) * strength;
  const sigmas = Float32Array.from({ length: numSteps }, (_, i) => {
    const even = start + ((sigmaMin - start) * i) / numSteps;
    return (shift * even) / (1 + (shift - 1) * even);
  });
  const timesteps = sigmas.map((sigma) => sigma * numTrainTimesteps);
  return { sigmas, timesteps: timestepPrecision === "bfloat16" ? roundToBfloat16(timesteps) : timesteps };
}

/**
 * One Euler step: latents + velocity (sigma_next - sigma).
 * @param index step, 0 .. numSteps - 1
 * @param latents at sigma_index
 * @param velocity predicted there, of the same length
 * @returns new latents at sigma_{index+1}, or at 0 after the last step
 */
export function step(
  schedule: Schedule,
  index: number,
  latents: Float32Array,
  velocity: Float32Array,
): Float32Array {
  const distance = Math.fround((schedule.sigmas[index + 1] ?? 0) - schedule.sigmas[index]!);
  return latents.map((x, i) => x + velocity[i]! * distance);
}

/** Data on its way to noise: (1 - sigma) data + sigma noise. */
export function addNoise(data: Float32Array, noise: Float32Array, sigma: number): Float32Array {
  return data.map((x, i) => (1 - sigma) * x + sigma * noise[i]!);
}
