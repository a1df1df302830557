import { type Moments, symmetricEigenvectors } from "./linear-algebra.ts";

/** The first `count` principal directions of samples (about zero), as orthonormal rows. */
export function principalRows(moments: Moments, count: number): Float64Array[] {
  return symmetricEigenvectors(secondMoments(moments), moments.size).rows.slice(0, count);
}

/**
 * `count` orthonormal rows for samples [first | second] of two vectors of one size: row k < numStatic is the mean of
 * component k of both; the others are the principal directions of what those leave.
 */
export function alignedRows(moments: Moments, numStatic: number, count: number): Float64Array[] {
  const n = moments.size;
  const rows = Array.from({ length: numStatic }, (_, k) => {
    const row = new Float64Array(n);
    row[k] = row[n / 2 + k] = Math.SQRT1_2;
    return row;
  });
  const rest = secondMoments(moments);
  for (const row of rows) projectOut(rest, n, row);
  return [...rows, ...symmetricEigenvectors(rest, n).rows.slice(0, count - numStatic)];
}

/** Share of the samples' power that lies in the span of orthonormal rows. */
export function keptShare(moments: Moments, rows: readonly Float64Array[]): number {
  let kept = 0;
  let all = 0;
  for (let i = 0; i < moments.size; i++) {
    all += moments.at(i, i);
    for (const row of rows) {
      for (let j = 0; j < moments.size; j++) kept += row[i]! * row[j]! * moments.at(i, j);
    }
  }
  return kept / all;
}

function secondMoments(moments: Moments): Float64Array {
  const n = moments.size;
  return Float64Array.from({ length: n * n }, (_, k) => moments.at(Math.floor(k / n), k % n) / moments.count);
}

/** A <- (1 - r rᵀ) A (1 - r rᵀ) for a unit vector r and a symmetric A [n, n]. */
function projectOut(a: Float64Array, n: number, r: Float64Array): void {
  const ar = new Float64Array(n);
  for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) ar[i]! += a[i * n + j]! * r[j]!;
  const rar = ar.reduce((sum, x, i) => sum + x * r[i]!, 0);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < n; j++) a[i * n + j]! += rar * r[i]! * r[j]! - ar[i]! * r[j]! - r[i]! * ar[j]!;
  }
}
