/** Structural similarity (Wang et al. 2004): local means, variances and covariance compared window by window. */
import type { Image } from "../media/pixels.ts";
import { UserError, invariant } from "../tensor/errors.ts";

/**
 * uniform7: a 7x7 box with sample covariance, as scikit-image computes by default.
 * gaussian11: sigma 1.5 cut to 11x11 with population covariance, as in the original paper.
 */
export type SsimWindow = "uniform7" | "gaussian11";

/**
 * SSIM of two pictures of the same size, -1..1, 1 when equal: the mean over all windows that lie inside the picture,
 * then over the channels. Of a video: the mean over its frames.
 * @throws UserError when the pictures are smaller than the window
 */
export function ssim(a: Image, b: Image, window: SsimWindow = "uniform7"): number {
  return mean(ssimMap(a, b, window).values);
}

/** SSIM of a part of two pictures only: the mean over the windows whose middle pixel is chosen. */
export interface PartialSsim {
  /** Of the whole pictures; see `ssim`. */
  readonly whole: number;
  /** NaN when no window has a chosen middle. */
  readonly part: number;
}

/**
 * `ssim` of two pictures, and of a part of them.
 * @param pixels one entry per pixel, non-zero where it belongs to the part
 */
export function partialSsim(
  a: Image,
  b: Image,
  pixels: ArrayLike<number>,
  window: SsimWindow = "uniform7",
): PartialSsim {
  const { values, width } = ssimMap(a, b, window);
  const margin = (a.width - width) / 2;
  const isChosen = (_: number, i: number): boolean => {
    const [x, y] = [i % width, Math.floor(i / width)];
    return pixels[(y + margin) * a.width + x + margin] !== 0;
  };
  return { whole: mean(values), part: mean(values.filter(isChosen)) };
}

/** SSIM of the luma (BT.601: 0.299 R + 0.587 G + 0.114 B, not rounded) of two pictures. */
export function lumaSsim(a: Image, b: Image, window: SsimWindow = "gaussian11"): number {
  const luma = ({ data }: Image) =>
    Float64Array.from(
      { length: data.length / 3 },
      (_, i) => 0.299 * data[3 * i]! + 0.587 * data[3 * i + 1]! + 0.114 * data[3 * i + 2]!,
    );
  return mean(planeSsim(a, luma(a), b, luma(b), window).values);
}

const mean = (values: Float64Array): number => values.reduce((sum, value) => sum + value, 0) / values.length;

/** SSIM of every window that lies inside the picture, at its middle pixel: [height - n + 1, width - n + 1]. */
interface SsimMap {
  readonly values: Float64Array;
  readonly width: number;
}

/** The mean of the channels' maps. */
function ssimMap(a: Image, b: Image, window: SsimWindow): SsimMap {
  const maps = [0, 1, 2].map((channel) => {
    const plane = ({ data }: Image) =>
      Float64Array.from({ length: data.length / 3 }, (_, i) => data[3 * i + channel]!);
    return planeSsim(a, plane(a), b, plane(b), window);
  });
  const [red, green, blue] = maps as [SsimMap, SsimMap, SsimMap];
  return {
    ...red,
    values: red.values.map((value, i) => (value + green.values[i]! + blue.values[i]!) / 3),
  };
}

interface Size {
  readonly width: number;
  readonly height: number;
}

const C1 = (0.01 * 255) ** 2;
const C2 = (0.03 * 255) ** 2;

function planeSsim(sizeA: Size, a: Float64Array, sizeB: Size, b: Float64Array, window: SsimWindow): SsimMap {
  const { width, height } = sizeA;
  invariant(
    width === sizeB.width && height === sizeB.height,
    `pictures of ${width}x${height} and ${sizeB.width}x${sizeB.height} cannot be compared`,
  );
  const { kernel, covarianceScale } = WINDOWS[window];
  if (width < kernel.length || height < kernel.length) {
    throw new UserError(
      `a picture of ${width}x${height} is too small for SSIM; expected at least ${kernel.length} pixels each way`,
    );
  }
  const local = (values: Float64Array): Float64Array => filterInside(values, width, height, kernel);
  const meanA = local(a);
  const meanB = local(b);
  const meanAA = local(a.map((x) => x * x));
  const meanBB = local(b.map((x) => x * x));
  const meanAB = local(a.map((x, i) => x * b[i]!));
  const values = meanA.map((ma, i) => {
    const mb = meanB[i]!;
    const variances = covarianceScale * (meanAA[i]! - ma * ma + meanBB[i]! - mb * mb);
    const covariance = covarianceScale * (meanAB[i]! - ma * mb);
    return ((2 * ma * mb + C1) * (2 * covariance + C2)) / ((ma * ma + mb * mb + C1) * (variances + C2));
  });
  return { values, width: width - kernel.length + 1 };
}

/** Weighted means over every window that fits: [height - n + 1, width - n + 1] from a kernel of n by n. */
function filterInside(
  values: Float64Array,
  width: number,
  height: number,
  kernel: readonly number[],
): Float64Array {
  const innerWidth = width - kernel.length + 1;
  const innerHeight = height - kernel.length + 1;
  const rows = new Float64Array(innerWidth * height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < innerWidth; x++) {
      let sum = 0;
      for (let k = 0; k < kernel.length; k++) sum += kernel[k]! * values[y * width + x + k]!;
      rows[y * innerWidth + x] = sum;
    }
  }
  const result = new Float64Array(innerWidth * innerHeight);
  for (let i = 0; i < result.length; i++) {
    let sum = 0;
    for (let k = 0; k < kernel.length; k++) sum += kernel[k]! * rows[i + k * innerWidth]!;
    result[i] = sum;
  }
  return result;
}

function gaussianKernel(sigma: number, radius: number): number[] {
  const weights = Array.from({ length: 2 * radius + 1 }, (_, i) =>
    Math.exp(-((i - radius) ** 2) / (2 * sigma ** 2)),
  );
  const sum = weights.reduce((x, y) => x + y);
  return weights.map((weight) => weight / sum);
}

const WINDOWS: Record<SsimWindow, { kernel: readonly number[]; covarianceScale: number }> = {
  uniform7: { kernel: Array.from({ length: 7 }, () => 1 / 7), covarianceScale: 49 / 48 },
  gaussian11: { kernel: gaussianKernel(1.5, 5), covarianceScale: 1 },
};
