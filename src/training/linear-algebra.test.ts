import { expect, test } from "vitest";
import { Random } from "../tensor/random.ts";
import { Moments, regression, symmetricEigenvectors, unexplainedShare } from "./linear-algebra.ts";
import { alignedRows, keptShare, principalRows } from "./principal-components.ts";

const dot = (a: Float64Array, b: Float64Array): number => a.reduce((sum, x, i) => sum + x * b[i]!, 0);

/** Samples that lie in a plane of five dimensions, one direction stronger than the other. */
function planeSamples(): Moments {
  const random = new Random(1);
  const moments = new Moments(5);
  for (let n = 0; n < 400; n++) {
    const [a, b] = [3 * random.normal(), random.normal()];
    moments.add(Float64Array.of(a, a, b, b, a - b));
  }
  return moments;
}

test("eigenvectors are orthonormal, solve A v = λ v, and come by falling eigenvalue", () => {
  const n = 7;
  const random = new Random(2);
  const factor = Float64Array.from({ length: n * n }, () => random.normal());
  const matrix = new Float64Array(n * n).map((_zero, k) => {
    const [i, j] = [Math.floor(k / n), k % n];
    return dot(factor.slice(i * n, (i + 1) * n), factor.slice(j * n, (j + 1) * n));
  });
  const { values, rows } = symmetricEigenvectors(matrix, n);
  expect([...values]).toEqual([...values].sort((x, y) => y - x));
  rows.forEach((row, i) => {
    rows.forEach((other, j) => expect(dot(row, other)).toBeCloseTo(i === j ? 1 : 0, 10));
    for (let r = 0; r < n; r++) {
      expect(dot(matrix.slice(r * n, (r + 1) * n), row)).toBeCloseTo(values[i]! * row[r]!, 8);
    }
  });
});

test("as many principal directions as the samples have dimensions keep all of their power", () => {
  const moments = planeSamples();
  expect(keptShare(moments, principalRows(moments, 2))).toBeCloseTo(1, 10);
  expect(keptShare(moments, principalRows(moments, 1))).toBeLessThan(0.99);
});

test("aligned rows begin with the means of both halves and stay orthonormal", () => {
  const random = new Random(3);
  const moments = new Moments(6);
  for (let n = 0; n < 200; n++) {
    const still = Array.from({ length: 3 }, () => random.normal());
    moments.add(Float64Array.of(...still, ...still.map((x, i) => x + (i === 1 ? random.normal() : 0))));
  }
  const rows = alignedRows(moments, 2, 4);
  expect([...rows[0]!]).toEqual([Math.SQRT1_2, 0, 0, Math.SQRT1_2, 0, 0]);
  rows.forEach((row, i) =>
    rows.forEach((other, j) => expect(dot(row, other)).toBeCloseTo(i === j ? 1 : 0, 10)),
  );
  // Three still components and one that moves.
  expect(keptShare(moments, rows)).toBeCloseTo(1, 10);
});

test("regression finds a linear map, and says what it cannot explain", () => {
  const random = new Random(4);
  const [exact, noisy] = [new Moments(4), new Moments(4)];
  for (let n = 0; n < 1000; n++) {
    const [x, y] = [random.normal(), random.normal()];
    exact.add(Float64Array.of(x, y, 1, 2 * x - y + 0.5));
    noisy.add(Float64Array.of(x, y, 1, x + random.normal()));
  }
  const [row] = regression(exact, 1, 1e-12) as [Float64Array];
  [2, -1, 0.5].forEach((weight, i) => expect(row[i]).toBeCloseTo(weight, 6));
  expect(unexplainedShare(exact, [row])).toBeCloseTo(0, 6);
  expect(unexplainedShare(noisy, regression(noisy, 1, 1e-12))).toBeCloseTo(0.5, 1);
});
