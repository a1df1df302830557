/**
 * Quantising linear layers to 8 bits with smoothing. Before activations are rounded, their channels are centred (Wei et
 * al. 2023, Outlier Suppression+), and those that are large are divided by a factor that the weights are multiplied by
 * (SmoothQuant, Xiao et al. 2022, Eq. 3-4).
 */
import { invariant } from "../../tensor/errors.ts";
import { type Tensor, float32, tensor } from "../../tensor/tensor.ts";

/** Weights that may be quantised: every linear layer of the denoiser's blocks. */
export const INT8_TARGETS =
  /(?:^|\.)blocks\.\d+\.(?:(?:self|cross)_attn\.(?:[qkvo]|[kv]_img)|ffn\.[02])\.weight$/;

/** Largest magnitude of an int8 weight; -128 is left out, so that both signs reach equally far. */
const WEIGHT_LEVELS = 127;
/** Largest uint8 activation. */
const LARGEST_ACTIVATION = 255;
/** Zero points that are tried. Where values lie on one side of 0, most levels go there. */
const ZERO_POINTS = Array.from({ length: 31 }, (_, i) => 8 * (i + 1));
/** Variance of a rounding error, which lies anywhere between -1/2 and 1/2 of a step. */
const ROUNDING_VARIANCE = 1 / 12;

/** Exponents that are tried: 0 leaves all of the range to the activations, 1 moves all of it to the weights. */
const ALPHAS = Array.from({ length: 11 }, (_, i) => i / 10);

/** How activations are rounded. Weights and bias undo what is done to channels before. */
export interface Smoothing {
  /** Taken from the activations, [in]. */
  readonly mean: Float32Array;
  /** What they are multiplied by then, and weights divided by, [in]. */
  readonly factors: Float32Array;
  /** The uint8 that 0 becomes, 1 to 254. */
  readonly zeroPoint: number;
}

/** A group's smoothing, and how well its layers come out with it. */
export interface FoundSmoothing extends Smoothing {
  /** The exponent that was chosen; null where no factors at all are best. */
  readonly alpha: number | null;
  /** Expected error of the layers' outputs relative to their size, as root mean squares. */
  readonly error: number;
}

/**
 * Searches the smoothing of layers that read the same activations. For every exponent, the error of the outputs is
 * foreseen from the size of the rounding steps: steps of the activations (one size for a row) act through the weights,
 * steps of the weights (one size for a column) through the activations. Channels are taken to be uncorrelated.
 * @param rows samples of the activations, [n, in] each
 * @param weights [out, in] each
 */
export function searchSmoothing(
  rows: readonly Tensor<"float32">[],
  weights: readonly Tensor<"float32">[],
): FoundSmoothing {
  const width = weights[0]?.shape[1] ?? 0;
  invariant(
    rows.length > 0 && [...rows, ...weights].every(({ shape }) => shape[1] === width),
    "layers of a group read alike",
  );
  const activations = channelsOf(rows, width);
  const centred = rows.map(({ data, shape }) =>
    tensor(
      "float32",
      shape,
      data.map((x, i) => x - activations.mean[i % width]!),
    ),
  );
  const input = channelsOf(centred, width);
  const weight = channelsOf(weights, width);
  const inputPower = input.squares.map((x) => x / activations.numRows);
  const output = dot(
    activations.squares.map((x) => x / activations.numRows),
    weight.squares,
  );

  const tryOut = (factors: Float32Array): { zeroPoint: number; error: number } => {
    const divided = weight.squares.map((x, j) => x / factors[j]! ** 2);
    const smoothed = inputPower.map((x, j) => x * factors[j]! ** 2);
    const { zeroPoint, meanSquareStep } = bestZeroPoint(centred, factors);
    const weightSteps = squaredWeightSteps(weights, factors);
    const noise = ROUNDING_VARIANCE * (meanSquareStep * sumOf(divided) + weightSteps * sumOf(smoothed));
    return { zeroPoint, error: Math.sqrt(noise / Math.max(output, Number.MIN_VALUE)) };
  };
  const none = new Float32Array(width).fill(1);
  const { mean } = activations;
  let best: FoundSmoothing = { mean, factors: none, alpha: null, ...tryOut(none) };
  for (const alpha of ALPHAS) {
    const factors = factorsOf(alpha, input.range, weight.range);
    const found = tryOut(factors);
    if (found.error < best.error) best = { mean, factors, alpha, ...found };
  }
  return best;
}

/** A quantised weight as `QuantizedKeys` has it: values [in, out], scale [out], offset [out]. */
export interface QuantizedWeight {
  readonly values: Tensor<"int8">;
  readonly scale: Tensor<"float32">;
  readonly offset: Tensor<"float32">;
}

/**
 * Rounds a weight to 8 bits, each column of its transpose by its own largest value.
 * @param weight [out, in]
 * @param smoothing of the activations that it is multiplied with
 */
export function quantizeWeight(weight: Tensor<"float32">, smoothing: Smoothing): QuantizedWeight {
  return { values: quantizedValues(weight, smoothing), ...quantizedScales(weight, smoothing) };
}

/** Scale and offset alone. */
export function quantizedScales(
  { data, shape }: Tensor<"float32">,
  { mean, factors }: Smoothing,
): Pick<QuantizedWeight, "scale" | "offset"> {
  const [out, width] = shape as [number, number];
  const scale = new Float32Array(out);
  const offset = new Float32Array(out);
  for (let i = 0; i < out; i++) {
    const row = data.subarray(i * width, (i + 1) * width);
    scale[i] = weightStep(row, factors);
    offset[i] = dot(row, mean);
  }
  return { scale: float32(scale), offset: float32(offset) };
}

function quantizedValues({ data, shape }: Tensor<"float32">, { factors }: Smoothing): Tensor<"int8"> {
  const [out, width] = shape as [number, number];
  const values = new Int8Array(width * out);
  for (let i = 0; i < out; i++) {
    const row = data.subarray(i * width, (i + 1) * width);
    const step = weightStep(row, factors);
    if (step === 0) continue;
    for (let j = 0; j < width; j++) values[j * out + i] = Math.round(row[j]! / factors[j]! / step);
  }
  return tensor("int8", [width, out], values);
}

interface Channels {
  readonly numRows: number;
  readonly mean: Float32Array;
  /** Largest magnitude. */
  readonly range: Float32Array;
  /** Sum of squares. */
  readonly squares: Float64Array;
}

/** Statistics of the columns of matrices [n, width]. */
function channelsOf(matrices: readonly Tensor<"float32">[], width: number): Channels {
  const sum = new Float64Array(width);
  const range = new Float32Array(width);
  const squares = new Float64Array(width);
  let numRows = 0;
  for (const { data, shape } of matrices) {
    numRows += shape[0]!;
    for (let i = 0; i < data.length; i += width) {
      for (let j = 0; j < width; j++) {
        const x = data[i + j]!;
        sum[j]! += x;
        squares[j]! += x * x;
        if (Math.abs(x) > range[j]!) range[j] = Math.abs(x);
      }
    }
  }
  return { numRows, mean: Float32Array.from(sum, (x) => x / numRows), range, squares };
}

/** The step of a row of a weight divided by factors. */
function weightStep(row: Float32Array, factors: Float32Array): number {
  let largest = 0;
  for (let j = 0; j < row.length; j++) largest = Math.max(largest, Math.abs(row[j]! / factors[j]!));
  return largest / WEIGHT_LEVELS;
}

/** Sum of the squared steps of all rows of weights divided by factors. */
function squaredWeightSteps(weights: readonly Tensor<"float32">[], factors: Float32Array): number {
  const width = factors.length;
  let sum = 0;
  for (const { data } of weights) {
    for (let i = 0; i < data.length; i += width) sum += weightStep(data.subarray(i, i + width), factors) ** 2;
  }
  return sum;
}

/** The zero point with which steps of rows of activations multiplied by factors are smallest in their mean square. */
function bestZeroPoint(
  rows: readonly Tensor<"float32">[],
  factors: Float32Array,
): { zeroPoint: number; meanSquareStep: number } {
  const width = factors.length;
  const ranges: (readonly [number, number])[] = [];
  for (const { data } of rows) {
    for (let i = 0; i < data.length; i += width) {
      let [low, high] = [0, 0];
      for (let j = 0; j < width; j++) {
        const x = data[i + j]! * factors[j]!;
        if (x < low) low = x;
        if (x > high) high = x;
      }
      ranges.push([low, high]);
    }
  }
  let best = { zeroPoint: 0, meanSquareStep: Infinity };
  for (const zeroPoint of ZERO_POINTS) {
    const steps = ranges.map(([low, high]) =>
      Math.max(high / (LARGEST_ACTIVATION - zeroPoint), -low / zeroPoint),
    );
    const meanSquareStep = steps.reduce((sum, step) => sum + step ** 2, 0) / ranges.length;
    if (meanSquareStep < best.meanSquareStep) best = { zeroPoint, meanSquareStep };
  }
  return best;
}

/** 1 / s with s = max|x|^alpha / max|w|^(1 - alpha) (Eq. 4). Channels that are always 0 are left as they are. */
function factorsOf(alpha: number, input: Float32Array, weight: Float32Array): Float32Array {
  return input.map((x, j) => {
    const w = weight[j]!;
    return x > 0 && w > 0 ? w ** (1 - alpha) / x ** alpha : 1;
  });
}

function sumOf(values: Float64Array): number {
  return values.reduce((sum, x) => sum + x, 0);
}

function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let j = 0; j < a.length; j++) sum += a[j]! * b[j]!;
  return sum;
}
