import { invariant } from "../tensor/errors.ts";

/** A symmetric matrix of sums of products of samples, with the sum of the samples: moments for PCA and regression. */
export class Moments {
  readonly products: Float64Array;
  count = 0;

  constructor(readonly size: number) {
    this.products = new Float64Array(size * size);
  }

  /** Adds one sample of `size` numbers. */
  add(sample: Float64Array): void {
    const { size, products } = this;
    this.count++;
    for (let i = 0; i < size; i++) {
      const x = sample[i]!;
      if (x === 0) continue;
      for (let j = i; j < size; j++) products[i * size + j]! += x * sample[j]!;
    }
  }

  /** Entry (i, j) of the sum of products. */
  at(i: number, j: number): number {
    return this.products[i <= j ? i * this.size + j : j * this.size + i]!;
  }
}

/**
 * Eigenvectors of a symmetric matrix [n, n] as rows, by falling eigenvalue (cyclic Jacobi rotations). The sign is
 * chosen so that a vector's components sum to a positive number.
 */
export function symmetricEigenvectors(
  matrix: Float64Array,
  n: number,
): { values: Float64Array; rows: Float64Array[] } {
  const a = matrix.slice();
  const v = new Float64Array(n * n);
  for (let i = 0; i < n; i++) v[i * n + i] = 1;
  for (let sweep = 0; sweep < 30; sweep++) {
    if (offDiagonal(a, n) < 1e-18 * trace(a, n) ** 2) break;
    for (let p = 0; p < n; p++) for (let q = p + 1; q < n; q++) rotate(a, v, n, p, q);
  }
  const order = Array.from({ length: n }, (_, i) => i).sort((i, j) => a[j * n + j]! - a[i * n + i]!);
  return {
    values: Float64Array.from(order, (i) => a[i * n + i]!),
    rows: order.map((i) => {
      const row = v.slice(i * n, (i + 1) * n);
      return row.reduce((sum, x) => sum + x, 0) < 0 ? row.map((x) => -x) : row;
    }),
  };
}

function trace(a: Float64Array, n: number): number {
  let sum = 0;
  for (let i = 0; i < n; i++) sum += a[i * n + i]!;
  return sum;
}

function offDiagonal(a: Float64Array, n: number): number {
  let sum = 0;
  for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) if (i !== j) sum += a[i * n + j]! ** 2;
  return sum;
}

/** One Jacobi rotation that makes a[p, q] zero; `v` collects the rotations in its rows. */
function rotate(a: Float64Array, v: Float64Array, n: number, p: number, q: number): void {
  const apq = a[p * n + q]!;
  if (apq === 0) return;
  const theta = (a[q * n + q]! - a[p * n + p]!) / (2 * apq);
  const t = Math.sign(theta || 1) / (Math.abs(theta) + Math.sqrt(theta * theta + 1));
  const c = 1 / Math.sqrt(t * t + 1);
  const s = t * c;
  for (let k = 0; k < n; k++) {
    const [x, y] = [a[k * n + p]!, a[k * n + q]!];
    a[k * n + p] = c * x - s * y;
    a[k * n + q] = s * x + c * y;
  }
  for (let k = 0; k < n; k++) {
    const [x, y] = [a[p * n + k]!, a[q * n + k]!];
    a[p * n + k] = c * x - s * y;
    a[q * n + k] = s * x + c * y;
    const [vx, vy] = [v[p * n + k]!, v[q * n + k]!];
    v[p * n + k] = c * vx - s * vy;
    v[q * n + k] = s * vx + c * vy;
  }
}

/**
 * Weights [outputs, inputs] of the linear map that best predicts the last `numOutputs` entries of the samples from
 * the entries before them, with `ridge` times the mean square of the inputs added to the diagonal.
 */
export function regression(moments: Moments, numOutputs: number, ridge: number): Float64Array[] {
  const n = moments.size - numOutputs;
  const a = new Float64Array(n * n);
  let power = 0;
  for (let i = 0; i < n; i++) power += moments.at(i, i) / n;
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) a[i * n + j] = moments.at(j, i);
    a[i * n + i]! += ridge * power;
  }
  cholesky(a, n);
  return Array.from({ length: numOutputs }, (_, output) => {
    const correlations = new Float64Array(n).map((_zero, i) => moments.at(i, n + output));
    return solveTriangular(a, n, correlations);
  });
}

/** Share of the outputs' power that the rows of a regression leave unexplained. */
export function unexplainedShare(moments: Moments, rows: readonly Float64Array[]): number {
  const n = moments.size - rows.length;
  let power = 0;
  let error = 0;
  rows.forEach((row, output) => {
    const square = moments.at(n + output, n + output);
    power += square;
    error += square;
    row.forEach((x, i) => (error -= x * moments.at(i, n + output)));
  });
  return error / power;
}

/** Replaces the lower triangle of a positive definite matrix by its Cholesky factor. */
function cholesky(a: Float64Array, n: number): void {
  for (let j = 0; j < n; j++) {
    for (let i = j; i < n; i++) {
      let sum = a[i * n + j]!;
      for (let k = 0; k < j; k++) sum -= a[i * n + k]! * a[j * n + k]!;
      if (i > j) a[i * n + j] = sum / a[j * n + j]!;
      else {
        invariant(sum > 0, "the matrix is not positive definite; raise the ridge");
        a[j * n + j] = Math.sqrt(sum);
      }
    }
  }
}

/** Solves L Lᵀ x = b in place. */
function solveTriangular(l: Float64Array, n: number, b: Float64Array): Float64Array {
  for (let i = 0; i < n; i++) {
    for (let k = 0; k < i; k++) b[i]! -= l[i * n + k]! * b[k]!;
    b[i]! /= l[i * n + i]!;
  }
  for (let i = n - 1; i >= 0; i--) {
    for (let k = i + 1; k < n; k++) b[i]! -= l[k * n + i]! * b[k]!;
    b[i]! /= l[i * n + i]!;
  }
  return b;
}
