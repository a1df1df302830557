import { describe, expect, it } from "vitest";
import { createImage, type Image } from "../media/pixels.ts";
import { crop } from "../media/resize.ts";
import { UserError } from "../tensor/errors.ts";
import { Random } from "../tensor/random.ts";
import { commonBackground, maskedL1, maskedPsnr } from "./masked-errors.ts";
import { seamJumpRatio } from "./seam-jump.ts";
import { partialSsim, ssim } from "./ssim.ts";
import { symmetricEigen } from "./symmetric-eigen.ts";
import { featureConsistency, ssimConsistency } from "./temporal-consistency.ts";

const gray = (value: number): Image => createImage(8, 8, [value, value, value]);
function noise(seed: number): Image {
  const random = new Random(seed);
  return { ...gray(0), data: Uint8Array.from({ length: 8 * 8 * 3 }, () => random.integer(256)) };
}

describe("errors of a part of the picture", () => {
  it("look only at the chosen pixels", () => {
    const [a, b] = [Uint8Array.of(0, 0, 0, 10, 20, 30), Uint8Array.of(255, 255, 255, 10, 20, 81)];
    expect(maskedL1(a, b, [0, 1])).toBeCloseTo(17 / 255, 12);
    expect(maskedL1(a, b, [1, 1])).toBeCloseTo((255 * 3 + 51) / 6 / 255, 12);
    expect(maskedL1(a, b, [0, 0])).toBeNaN();
    expect(maskedPsnr(a, b, [0, 1])).toBeCloseTo(10 * Math.log10((255 ** 2 * 3) / 51 ** 2), 12);
    expect(maskedPsnr(a, b, [0, 0])).toBeNaN();
    expect([...commonBackground([0, 1, 0, 1], [0, 0, 1, 1])]).toEqual([1, 0, 0, 0]);
  });
});

describe("partialSsim", () => {
  it("is SSIM where all pixels are chosen, and that of single windows where few are", () => {
    const [a, b] = [noise(1), noise(2)];
    const all = new Uint8Array(64).fill(1);
    expect(partialSsim(a, b, all)).toEqual({ whole: ssim(a, b), part: ssim(a, b) });
    // Of four windows of 7x7 in 8x8 pixels, the one in the lower right corner has its middle at (4, 4).
    const corner = Uint8Array.from(all, (_, i) => (i === 4 * 8 + 4 ? 1 : 0));
    const cut = (image: Image): Image => crop(image, { left: 1, top: 1, width: 7, height: 7 });
    expect(partialSsim(a, b, corner).part).toBeCloseTo(ssim(cut(a), cut(b)), 12);
    expect(partialSsim(a, b, new Uint8Array(64)).part).toBeNaN();
  });
});

describe("temporal consistency", () => {
  it("is the mean cosine of neighbours, or of each frame with the first", () => {
    const features = [Float32Array.of(1, 0), Float32Array.of(0, 2), Float32Array.of(-3, 0)];
    expect(featureConsistency(features)).toBeCloseTo(0, 12);
    expect(featureConsistency(features, "first")).toBeCloseTo(-0.5, 12);
    expect(() => featureConsistency(features.slice(1, 2))).toThrow(UserError);
  });

  it("is the mean SSIM of neighbours", () => {
    const [a, b] = [noise(1), noise(2)];
    expect(ssimConsistency([a, a, b])).toBeCloseTo((1 + ssim(a, b)) / 2, 12);
    expect(() => ssimConsistency([createImage(6, 9), createImage(6, 9)])).toThrow(/at least 7 pixels/);
  });
});

describe("seamJumpRatio", () => {
  const steady = Array.from({ length: 9 }, (_, t) => gray(10 * t));
  it("is 1 for motion that goes on evenly and grows with the jump", () => {
    expect(seamJumpRatio(steady, new Set([4]))).toBeCloseTo(1, 12);
    const jumping = steady.map((frame, t) => (t < 4 ? frame : gray(10 * t + 20)));
    expect(seamJumpRatio(jumping, new Set([4]))).toBeCloseTo(3, 12);
  });

  it("needs a seam and frames between", () => {
    expect(() => seamJumpRatio(steady, new Set())).toThrow(UserError);
    expect(() => seamJumpRatio(steady.slice(0, 2), new Set([1]))).toThrow(UserError);
  });
});

describe("symmetricEigen", () => {
  it.each([1, 2, 3, 17, 60])("decomposes random matrices of size %i", (n) => {
    const random = new Random(n);
    const matrix = new Float64Array(n * n);
    for (let i = 0; i < n; i++) {
      for (let j = 0; j <= i; j++) matrix[i * n + j] = matrix[j * n + i] = random.normal();
    }
    expectDecomposition(matrix, n);
  });

  it("decomposes matrices of zeros, of rank one, and already diagonal ones", () => {
    expectDecomposition(new Float64Array(9), 3);
    expectDecomposition(
      Float64Array.from({ length: 25 }, (_, i) => ((i % 5) + 1) * (Math.floor(i / 5) + 1)),
      5,
    );
    expectDecomposition(Float64Array.of(3, 0, 0, 0, -1, 0, 0, 0, 2), 3);
  });
});

function expectDecomposition(matrix: Float64Array, n: number): void {
  const { values, vectors } = symmetricEigen(matrix, n);
  const scale = Math.max(1, ...matrix.map(Math.abs));
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < n; j++) {
      let [rebuilt, product] = [0, 0];
      for (let k = 0; k < n; k++) {
        rebuilt += values[k]! * vectors[k * n + i]! * vectors[k * n + j]!;
        product += vectors[i * n + k]! * vectors[j * n + k]!;
      }
      expect(Math.abs(rebuilt - matrix[i * n + j]!)).toBeLessThan(1e-12 * scale * n);
      expect(Math.abs(product - (i === j ? 1 : 0))).toBeLessThan(1e-12 * n);
    }
  }
}
