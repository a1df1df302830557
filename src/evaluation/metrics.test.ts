/** Every metric that the golden set covers, against its values. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { imageFromBytes, type Image } from "../media/pixels.ts";
import { openSafetensors } from "../runtime/safetensors.ts";
import { featureStatistics, frechetDistance } from "./frechet.ts";
import { l1 } from "./l1.ts";
import { boundingBoxSide, pck, type JointComparison } from "./pck.ts";
import { meanSquaredError, psnr } from "./psnr.ts";
import { lumaSsim, ssim } from "./ssim.ts";

const folder = new URL("../../fixtures/metrics/", import.meta.url).pathname;
const expected = JSON.parse(readFileSync(`${folder}expected.json`, "utf8"));
const inputs = await openSafetensors(`${folder}inputs.safetensors`);
const outputs = await openSafetensors(`${folder}outputs.safetensors`);

async function video(name: string): Promise<Image[]> {
  const { shape, data } = await inputs.readTensor(name);
  const [frames, height, width] = shape as [number, number, number];
  const bytes = height * width * 3;
  return Array.from({ length: frames }, (_, t) =>
    imageFromBytes(width, height, (data as Uint8Array).subarray(t * bytes, (t + 1) * bytes)),
  );
}
const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b) / values.length;
const truth = await video("gt");

function expectWithin(actual: number, golden: number, tolerance: number): void {
  expect(Math.abs(actual - golden), `${actual} against ${golden}`).toBeLessThanOrEqual(tolerance);
}

describe.each(["blur", "noisy", "identical"])("the %s video", async (name) => {
  const other = name === "identical" ? truth : await video(name);
  const golden = expected.video[name];
  const perFrame = (metric: (a: Image, b: Image) => number) =>
    truth.map((frame, t) => metric(frame, other[t]!));

  it("has its PSNR and L1", () => {
    const errors = perFrame((a, b) => meanSquaredError(a.data, b.data));
    errors.forEach((error, t) => expectWithin(error, golden.mse_per_frame[t], 1e-9));
    expectWithin(mean(perFrame((a, b) => l1(a.data, b.data))), golden.l1_mean_abs_over_255, 1e-9);
    const ratios = perFrame((a, b) => psnr(a.data, b.data));
    if (name === "identical") expect(ratios).toEqual(ratios.map(() => Infinity));
    else expectWithin(mean(ratios), golden.psnr_mean_over_frames, 1e-6);
  });

  it("has its SSIM in every window", () => {
    for (const [key, metric] of [
      ["ssim_uniform7", (a: Image, b: Image) => ssim(a, b)],
      ["ssim_gauss11", (a: Image, b: Image) => ssim(a, b, "gaussian11")],
      ["ssim_gauss11_gray601", (a: Image, b: Image) => lumaSsim(a, b)],
    ] as const) {
      const values = perFrame(metric);
      values.forEach((value, t) => {
        if (golden[`${key}_per_frame`]) expectWithin(value, golden[`${key}_per_frame`][t], 1e-6);
      });
      if (golden[`${key}_mean`] !== undefined) expectWithin(mean(values), golden[`${key}_mean`], 1e-6);
    }
  });
});

describe("the Frechet distance", async () => {
  const [a, b] = [await inputs.readFloat32("features_a"), await inputs.readFloat32("features_b")];
  const dims = a.shape[1]!;
  const distance = (x: ArrayLike<number>, y: ArrayLike<number>): number =>
    frechetDistance(featureStatistics(x, dims), featureStatistics(y, dims));

  it("has the golden statistics", async () => {
    for (const [features, suffix] of [
      [a, "a"],
      [b, "b"],
    ] as const) {
      const { mean: center, covariance } = featureStatistics(features.data, dims);
      for (const [actual, name] of [
        [center, `mu_${suffix}`],
        [covariance, `sigma_${suffix}`],
      ] as const) {
        const golden = (await outputs.readTensor(name)).data as Float64Array;
        actual.forEach((value, i) => expectWithin(value, golden[i]!, 1e-12));
      }
    }
  });

  it("has the golden values", () => {
    const { fd, fewer_samples_n: few } = expected.frechet;
    expectWithin(distance(a.data, b.data), fd, 1e-5 * fd);
    expectWithin(distance(a.data, a.data), 0, 1e-4);
    const shifted = Float64Array.from(a.data, (x) => x + 0.5);
    expectWithin(distance(a.data, shifted), expected.frechet["fd_mean_shift_only_by_0.5"], 1e-5 * 8);
    const fewer = expected.frechet.fd_fewer_samples_than_dims;
    expectWithin(
      distance(a.data.subarray(0, few * dims), b.data.subarray(0, few * dims)),
      fewer,
      1e-3 * fewer,
    );
  });

  it("is symmetric and needs two samples", () => {
    expectWithin(distance(a.data, b.data), distance(b.data, a.data), 1e-9);
    expect(() => featureStatistics(a.data.subarray(0, dims), dims)).toThrow(/at least 2 samples/);
  });
});

describe("PCK", () => {
  const point = ([x, y]: [number, number]) => ({ x, y });
  const frames = (expected.pck.gt as [number, number][][]).map((joints, t): JointComparison => ({
    truth: joints.map(point),
    predicted: (expected.pck.pred as [number, number][][])[t]!.map(point),
    visible: expected.pck.visible[t],
  }));
  const imageSide = Math.max(truth[0]!.width, truth[0]!.height);

  it.each([0.05, 0.1, 0.2])("has the golden values at %d", (alpha) => {
    expect(pck(frames, alpha)).toBe(expected.pck[`pck@${alpha}_bbox`]);
    expect(pck(frames, alpha, () => imageSide)).toBe(expected.pck[`pck@${alpha}_image`]);
    const ofFrames = mean(frames.map((frame) => pck([frame], alpha, boundingBoxSide)));
    expectWithin(ofFrames, expected.pck[`pck@${alpha}_bbox_mean_of_frames`], 1e-12);
  });

  it("counts joints that were not found as wrong, and hidden ones not at all", () => {
    const joints = [
      { x: 0, y: 0 },
      { x: 10, y: 0 },
      { x: 5, y: 5 },
    ];
    const frame = {
      truth: joints,
      predicted: [joints[0], undefined, undefined],
      visible: [true, true, false],
    };
    expect(pck([frame], 0.1)).toBe(0.5);
    expect(pck([{ ...frame, visible: [false, false, false] }], 0.1)).toBeNaN();
  });
});
