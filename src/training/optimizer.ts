import { invariant } from "../tensor/errors.ts";

/** Parameters, gradients and moments alike: flat arrays by checkpoint key. */
export type Arrays = Readonly<Record<string, Float32Array>>;

/** Moments of an optimiser, by name and parameter; a moment may leave parameters out. */
export interface OptimizerState {
  /** Number of updates made. */
  step: number;
  readonly moments: Readonly<Record<string, Arrays>>;
}

/** Turns gradients into new parameters, in place. */
export interface Optimizer {
  init(params: Arrays): OptimizerState;
  update(params: Arrays, gradients: Arrays, state: OptimizerState, learningRate: number): Promise<void>;
}

export interface AdamWOptions {
  readonly beta1?: number;
  readonly beta2?: number;
  readonly epsilon?: number;
  /** Decoupled decay per step, as a fraction of the learning rate. */
  readonly weightDecay?: number;
  /** Keys the decay applies to; norms, biases and embeddings usually have none. */
  readonly decays?: (key: string) => boolean;
  /** Factor on the learning rate of a parameter; 1 by default. */
  readonly rateOf?: (key: string) => number;
}

/** Arrays of zeros like the given ones. */
export function zerosLike(arrays: Arrays): Arrays {
  return Object.fromEntries(
    Object.entries(arrays).map(([key, data]) => [key, new Float32Array(data.length)]),
  );
}

/** AdamW (Loshchilov and Hutter, 2019): θ ← θ - lr (m̂ / (√v̂ + ε) + λ θ). */
export function adamW(options: AdamWOptions = {}): Optimizer {
  const { beta1 = 0.9, beta2 = 0.99, epsilon = 1e-8, weightDecay = 0.01 } = options;
  const { decays = () => true, rateOf = () => 1 } = options;
  return {
    init: (params) => ({ step: 0, moments: { mean: zerosLike(params), square: zerosLike(params) } }),
    async update(params, gradients, state, learningRate) {
      state.step += 1;
      const meanCorrection = 1 / (1 - beta1 ** state.step);
      const squareCorrection = 1 / (1 - beta2 ** state.step);
      for (const [key, theta] of Object.entries(params)) {
        const [gradient, m, v] = [
          gradients[key],
          state.moments["mean"]?.[key],
          state.moments["square"]?.[key],
        ];
        invariant(
          gradient && m && v && gradient.length === theta.length,
          `no gradient or moments for ${key}`,
        );
        const keyRate = learningRate * rateOf(key);
        const keep = 1 - keyRate * (decays(key) ? weightDecay : 0);
        const rate = keyRate * meanCorrection;
        for (let i = 0; i < theta.length; i++) {
          const g = gradient[i]!;
          const mean = (m[i] = beta1 * m[i]! + (1 - beta1) * g);
          const square = (v[i] = beta2 * v[i]! + (1 - beta2) * g * g);
          theta[i] = keep * theta[i]! - (rate * mean) / (Math.sqrt(square * squareCorrection) + epsilon);
        }
      }
    },
  };
}

/** Euclidean norm over all gradients, before clipping. Scales them in place to at most `maxNorm`. */
export function clipGradients(gradients: Arrays, maxNorm: number): number {
  let squares = 0;
  for (const gradient of Object.values(gradients)) {
    let part = 0;
    for (let i = 0; i < gradient.length; i++) part += gradient[i]! * gradient[i]!;
    squares += part;
  }
  const norm = Math.sqrt(squares);
  if (norm > maxNorm) {
    const scale = maxNorm / norm;
    for (const gradient of Object.values(gradients)) {
      for (let i = 0; i < gradient.length; i++) gradient[i]! *= scale;
    }
  }
  return norm;
}

/**
 * Moves the averaged weights towards the current ones. The decay grows as (1+n)/(10+n) up to `decay`,
 * so that an average of few steps does not remember the initialisation.
 */
export function updateEma(average: Arrays, params: Arrays, step: number, decay: number): void {
  const keep = Math.min(decay, (1 + step) / (10 + step));
  for (const [key, target] of Object.entries(average)) {
    const source = params[key];
    invariant(source, `no parameter ${key} to average`);
    for (let i = 0; i < target.length; i++) target[i] = keep * target[i]! + (1 - keep) * source[i]!;
  }
}

export interface LearningRateSchedule {
  /** Largest learning rate, reached at the end of the warm-up. */
  readonly peak: number;
  readonly numSteps: number;
  /** Share of all steps in which the rate grows linearly (paper, section S2: 0.1). */
  readonly warmup: number;
  /** Share of the peak left at the last step. */
  readonly floor: number;
}

/** Linear warm-up, then half a cosine, at step 0, 1, … */
export function learningRateAt(
  step: number,
  { peak, numSteps, warmup, floor }: LearningRateSchedule,
): number {
  const warmupSteps = Math.max(1, Math.round(warmup * numSteps));
  if (step < warmupSteps) return (peak * (step + 1)) / warmupSteps;
  const progress = Math.min(1, (step - warmupSteps) / Math.max(1, numSteps - warmupSteps));
  return peak * (floor + (1 - floor) * 0.5 * (1 + Math.cos(Math.PI * progress)));
}
