import { expect, test } from "vitest";
import { Random } from "../tensor/random.ts";
import { muon } from "./muon.ts";
import { adamW, clipGradients, learningRateAt, updateEma } from "./optimizer.ts";

test("AdamW's first steps are the learning rate times the gradient's sign, after decay", async () => {
  const optimizer = adamW({ weightDecay: 0.1, decays: (key) => key === "w" });
  const params = { w: Float32Array.of(1, 1), b: Float32Array.of(1) };
  const state = optimizer.init(params);
  await optimizer.update(params, { w: Float32Array.of(2, -3), b: Float32Array.of(0.5) }, state, 0.01);
  expect([...params.w]).toEqual([expect.closeTo(0.999 - 0.01, 6), expect.closeTo(0.999 + 0.01, 6)]);
  expect(params.b[0]).toBeCloseTo(0.99, 6);
  expect(state.step).toBe(1);
});

test("AdamW matches a second step worked by hand", async () => {
  const optimizer = adamW({ beta1: 0.9, beta2: 0.99, weightDecay: 0 });
  const params = { w: Float32Array.of(0) };
  const state = optimizer.init(params);
  await optimizer.update(params, { w: Float32Array.of(1) }, state, 0.1);
  await optimizer.update(params, { w: Float32Array.of(3) }, state, 0.1);
  const mean = (0.9 * 0.1 * 1 + 0.1 * 3) / (1 - 0.9 ** 2);
  const square = (0.99 * 0.01 * 1 + 0.01 * 9) / (1 - 0.99 ** 2);
  expect(params.w[0]).toBeCloseTo(-0.1 - (0.1 * mean) / Math.sqrt(square), 5);
});

test("Muon's update of a matrix is near orthogonal and leaves the rest to AdamW", async () => {
  const [rows, columns] = [6, 4];
  const matrices = new Map([["w", [rows, columns] as const]]);
  const optimizer = await muon({ matrices, rest: adamW({ weightDecay: 0 }), weightDecay: 0, threads: 1 });
  const params = { w: new Float32Array(rows * columns), b: Float32Array.of(0) };
  const random = new Random("muon");
  const gradient = Float32Array.from({ length: rows * columns }, () => random.normal());
  await optimizer.update(params, { w: gradient, b: Float32Array.of(4) }, optimizer.init(params), 1);
  expect(params.b[0]).toBeCloseTo(-1, 5);
  const direction = params.w.map((x) => -x / (0.2 * Math.sqrt(rows)));
  for (let i = 0; i < columns; i++) {
    for (let j = 0; j < columns; j++) {
      let product = 0;
      for (let r = 0; r < rows; r++) product += direction[r * columns + i]! * direction[r * columns + j]!;
      // Five iterations leave singular values between about 0.7 and 1.2.
      if (i === j) expect(product).toBeGreaterThan(0.35);
      expect(Math.abs(product - (i === j ? 1 : 0))).toBeLessThan(0.65);
    }
  }
});

test("clipping scales all gradients alike and reports the norm before", () => {
  const gradients = { a: Float32Array.of(3), b: Float32Array.of(4) };
  expect(clipGradients(gradients, 1)).toBeCloseTo(5, 6);
  expect([gradients.a[0], gradients.b[0]]).toEqual([expect.closeTo(0.6, 6), expect.closeTo(0.8, 6)]);
  expect(clipGradients(gradients, 2)).toBeCloseTo(1, 6);
});

test("the average forgets the start quickly and then moves slowly", () => {
  const average = { w: Float32Array.of(0) };
  updateEma(average, { w: Float32Array.of(1) }, 0, 0.999);
  expect(average.w[0]).toBeCloseTo(0.9, 6);
  updateEma(average, { w: Float32Array.of(2) }, 1e9, 0.999);
  expect(average.w[0]).toBeCloseTo(0.999 * 0.9 + 0.002, 6);
});

test("the learning rate warms up over its share and ends at the floor", () => {
  const schedule = { peak: 2, numSteps: 100, warmup: 0.1, floor: 0.05 };
  expect(learningRateAt(0, schedule)).toBeCloseTo(0.2);
  expect(learningRateAt(9, schedule)).toBeCloseTo(2);
  expect(learningRateAt(55, schedule)).toBeCloseTo(2 * (0.05 + 0.95 * 0.5), 1);
  expect(learningRateAt(100, schedule)).toBeCloseTo(0.1);
});
