/** Frechet distance between two sets of features (Heusel et al. 2017): FID for pictures, FVD for clips. */
import { UserError, invariant } from "../tensor/errors.ts";
import { symmetricEigen } from "./symmetric-eigen.ts";

export interface FeatureStatistics {
  /** [dims] */
  readonly mean: Float64Array;
  /** [dims, dims], with n - 1 in the denominator. */
  readonly covariance: Float64Array;
}

/**
 * Mean and covariance of feature vectors, in float64.
 * @param features [samples, dims], row-major
 * @throws UserError for fewer than two samples
 */
export function featureStatistics(features: ArrayLike<number>, dims: number): FeatureStatistics {
  const samples = features.length / dims;
  invariant(Number.isInteger(samples), `${features.length} values are not rows of ${dims}`);
  if (samples < 2)
    throw new UserError(`a Frechet distance needs at least 2 samples on each side, got ${samples}`);
  const mean = new Float64Array(dims);
  for (let i = 0; i < features.length; i++) mean[i % dims] = mean[i % dims]! + features[i]! / samples;

  const covariance = new Float64Array(dims * dims);
  const centered = new Float64Array(dims);
  for (let row = 0; row < samples; row++) {
    for (let i = 0; i < dims; i++) centered[i] = features[row * dims + i]! - mean[i]!;
    for (let i = 0; i < dims; i++) {
      const scaled = centered[i]! / (samples - 1);
      for (let j = 0; j < dims; j++)
        covariance[i * dims + j] = covariance[i * dims + j]! + scaled * centered[j]!;
    }
  }
  return { mean, covariance };
}

/**
 * |mean1 - mean2|^2 + tr(C1 + C2 - 2 sqrt(C1 C2)); 0 for equal statistics, up to rounding.
 * Biased for few samples: compare only values from equally many.
 */
export function frechetDistance(a: FeatureStatistics, b: FeatureStatistics): number {
  const dims = a.mean.length;
  invariant(dims === b.mean.length, `features of ${dims} and ${b.mean.length} dimensions cannot be compared`);
  let distance = 0;
  for (let i = 0; i < dims; i++) {
    distance += (a.mean[i]! - b.mean[i]!) ** 2 + a.covariance[i * dims + i]! + b.covariance[i * dims + i]!;
  }
  return distance - 2 * traceOfSqrtProduct(a.covariance, b.covariance, dims);
}

/**
 * tr sqrt(C1 C2). With C1 = V^T L V, C1 C2 has the eigenvalues of the symmetric L^1/2 (V C2 V^T) L^1/2,
 * so no square root of a general matrix is needed.
 */
function traceOfSqrtProduct(c1: Float64Array, c2: Float64Array, dims: number): number {
  const { values, vectors } = symmetricEigen(c1, dims);
  const scaled = Float64Array.from(
    vectors,
    (x, i) => x * Math.sqrt(Math.max(0, values[Math.floor(i / dims)]!)),
  );
  const inner = timesTransposed(timesTransposed(scaled, c2, dims), scaled, dims);
  // Rounding leaves eigenvalues that should be 0 slightly negative.
  return symmetricEigen(inner, dims).values.reduce((sum, value) => sum + Math.sqrt(Math.max(0, value)), 0);
}

/** A B^T of two n x n matrices. */
function timesTransposed(a: Float64Array, b: Float64Array, n: number): Float64Array {
  const product = new Float64Array(n * n);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < n; j++) {
      let sum = 0;
      for (let k = 0; k < n; k++) sum += a[i * n + k]! * b[j * n + k]!;
      product[i * n + j] = sum;
    }
  }
  return product;
}
