/** What the denoiser learns: the velocity, with a weight per timestep (method section 6). */
import type { Schedule } from "./schedule.ts";

/** The velocity that carries data to noise: noise - data. */
export function velocityTarget(data: Float32Array, noise: Float32Array): Float32Array {
  return noise.map((x, i) => x - data[i]!);
}

/**
 * Weight of the squared error at each step of a training schedule, 1 on average: a bell over the timesteps,
 * exp(-2 ((t - n/2) / n)^2), less its minimum, n the number of steps (1,000 in the published trainer).
 */
export function timestepWeights(schedule: Schedule): Float32Array {
  const n = schedule.timesteps.length;
  const bell = Float64Array.from(schedule.timesteps, (t) => Math.exp(-2 * ((t - n / 2) / n) ** 2));
  const lowest = bell.reduce((a, b) => Math.min(a, b));
  const sum = bell.reduce((total, value) => total + value - lowest, 0);
  // A schedule of one step has nothing to prefer.
  return Float32Array.from(bell, (value) => (sum > 0 ? ((value - lowest) * n) / sum : 1));
}
