/**
 * Quantising linear layers to 8 bits with smoothing: channels whose activations are large are divided by a factor
 * before they are rounded, and the weights multiplied by it (SmoothQuant, Xiao et al. 2022, Eq. 3-4).
 */
import { invariant } from "../../tensor/errors.ts";
import { type Tensor, float32, tensor } from "../../tensor/tensor.ts";

/** Weights that may be quantised: every linear layer of the denoiser's blocks. */
export const INT8_TARGETS =
  /(?:^|\.)blocks\.\d+\.(?:(?:self|cross)_attn\.(?:[qkvo]|[kv]_img)|ffn\.[02])\.weight$/;

/** Largest magnitude of an int8 weight; -128 is left out, so that both signs reach equally far. */
const WEIGHT_LEVELS = 127;
/** Steps between the smallest and the largest uint8 activation. */
const ACTIVATION_STEPS = 255;
/** Variance of a rounding error, which lies anywhere between -1/2 and 1/2 of a step. */
const ROUNDING_VARIANCE = 1 / 12;

/** Exponents that are tried: 0 leaves all of the range to the activations, 1 moves all of it to the weights. */
const ALPHAS = Array.from({ length: 11 }, (_, i) => i / 10);

/** What one run found of the activations [rows, in] that a group of layers reads; each [in]. */
export interface ActivationStats {
  readonly min: Float32Array;
  readonly max: Float32Array;
  readonly meanSquare: Float32Array;
}

/** A group's smoothing, and how well its layers come out with it. */
export interface Smoothing {
  /** Factors [in] by which activations are multiplied, and weights divided. */
  readonly factors: Float32Array;
  /** The exponent that was chosen; null where no smoothing at all is best. */
  readonly alpha: number | null;
  /** Expected error of the layers' outputs relative to their size, as root mean squares. */
  readonly error: number;
}

/**
 * Searches the smoothing of layers that read the same activations. For every exponent, the error of the outputs is
 * foreseen from the size of the rounding steps: steps of the activations (one size for a run) act through the weights,
 * steps of the weights (one size for a column) through the activations. Channels are taken to be uncorrelated.
 * @param stats of several runs, which count alike
 * @param weights [out, in] each
 */
export function searchSmoothing(
  stats: readonly ActivationStats[],
  weights: readonly Tensor<"float32">[],
): Smoothing {
  const width = weights[0]?.shape[1] ?? 0;
  invariant(
    stats.length > 0 && weights.every(({ shape }) => shape[1] === width),
    "layers of a group read alike",
  );
  const inputRange = channelMaxima(stats, width);
  const weightRange = new Float32Array(width);
  const weightPower = weights.map(({ data }) => {
    const power = new Float64Array(width);
    for (let i = 0; i < data.length; i++) {
      const x = data[i]!;
      const channel = i % width;
      power[channel]! += x * x;
      if (Math.abs(x) > weightRange[channel]!) weightRange[channel] = Math.abs(x);
    }
    return power;
  });
  const outputs = weights.map((_, i) => stats.map(({ meanSquare }) => dot(meanSquare, weightPower[i]!)));

  const errorOf = (factors: Float32Array): number => {
    const squares = weights.flatMap((weight, i) => {
      const columns = columnStepPower(weight, factors);
      return stats.map((run, r) => {
        const step = activationStep(run, factors);
        let [input, smoothed] = [0, 0];
        for (let j = 0; j < width; j++) {
          const square = factors[j]! ** 2;
          input += weightPower[i]![j]! / square;
          smoothed += run.meanSquare[j]! * square;
        }
        const noise = ROUNDING_VARIANCE * (step ** 2 * input + columns * smoothed);
        return noise / Math.max(outputs[i]![r]!, Number.MIN_VALUE);
      });
    });
    return Math.sqrt(squares.reduce((sum, x) => sum + x, 0) / squares.length);
  };
  const none = new Float32Array(width).fill(1);
  let best: Smoothing = { factors: none, alpha: null, error: errorOf(none) };
  for (const alpha of ALPHAS) {
    const factors = factorsOf(alpha, inputRange, weightRange);
    const error = errorOf(factors);
    if (error < best.error) best = { factors, alpha, error };
  }
  return best;
}

/** A quantised weight: values int8 [in, out], scale float32 [out]. */
export interface QuantizedWeight {
  readonly values: Tensor<"int8">;
  readonly scale: Tensor<"float32">;
}

/**
 * Rounds a weight to 8 bits, each column of its transpose by its own largest value.
 * @param weight [out, in]
 * @param factors the smoothing of the activations that it is multiplied with, [in]
 */
export function quantizeWeight({ data, shape }: Tensor<"float32">, factors: Float32Array): QuantizedWeight {
  const [out, width] = shape as [number, number];
  const values = new Int8Array(width * out);
  const scale = new Float32Array(out);
  for (let i = 0; i < out; i++) {
    const row = data.subarray(i * width, (i + 1) * width);
    const step = rowStep(row, factors);
    scale[i] = step;
    if (step === 0) continue;
    for (let j = 0; j < width; j++) values[j * out + i] = Math.round(row[j]! / factors[j]! / step);
  }
  return { values: tensor("int8", [width, out], values), scale: float32(scale) };
}

function rowStep(row: Float32Array, factors: Float32Array): number {
  let largest = 0;
  for (let j = 0; j < row.length; j++) largest = Math.max(largest, Math.abs(row[j]! / factors[j]!));
  return largest / WEIGHT_LEVELS;
}

/** Sum of the squared steps of all columns. */
function columnStepPower({ data, shape }: Tensor<"float32">, factors: Float32Array): number {
  const [out, width] = shape as [number, number];
  let sum = 0;
  for (let i = 0; i < out; i++) sum += rowStep(data.subarray(i * width, (i + 1) * width), factors) ** 2;
  return sum;
}

/** The step of activations in one run. The range always includes 0. */
function activationStep({ min, max }: ActivationStats, factors: Float32Array): number {
  let [low, high] = [0, 0];
  for (let j = 0; j < factors.length; j++) {
    low = Math.min(low, min[j]! * factors[j]!);
    high = Math.max(high, max[j]! * factors[j]!);
  }
  return (high - low) / ACTIVATION_STEPS;
}

/** Largest magnitude of each channel over all runs. */
function channelMaxima(stats: readonly ActivationStats[], width: number): Float32Array {
  const largest = new Float32Array(width);
  for (const { min, max } of stats) {
    for (let j = 0; j < width; j++) largest[j] = Math.max(largest[j]!, -min[j]!, max[j]!);
  }
  return largest;
}

/** 1 / s with s = max|x|^alpha / max|w|^(1 - alpha) (Eq. 4). Channels that are always 0 are left as they are. */
function factorsOf(alpha: number, input: Float32Array, weight: Float32Array): Float32Array {
  return input.map((x, j) => {
    const w = weight[j]!;
    return x > 0 && w > 0 ? w ** (1 - alpha) / x ** alpha : 1;
  });
}

function dot(a: Float32Array, b: Float64Array): number {
  let sum = 0;
  for (let j = 0; j < a.length; j++) sum += a[j]! * b[j]!;
  return sum;
}
