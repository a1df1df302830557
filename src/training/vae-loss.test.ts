import { expect, test } from "vitest";
import { serialize, verify } from "../graph/index.ts";
import { sampleTensor } from "../graph/testing.ts";
import { TINY_WAN_VAE } from "../models/wan-vae/config.ts";
import { Engine } from "../runtime/engine.ts";
import { type Tensor, zeros } from "../tensor/tensor.ts";
import { VaeWeights } from "./vae-layout.ts";
import { buildVaeLoss } from "./vae-loss.ts";

const SHAPE = { batch: 2, numFrames: 5, height: 16, width: 16 };

const sample = (shape: readonly number[], seed: number): Tensor<"float32"> =>
  sampleTensor(shape, seed, { dtype: "float32" }) as Tensor<"float32">;

/** Weights of a decoder that always answers `level`: only the bias of its last layer is left. */
function constantDecoder(level: number): Record<string, Tensor<"float32">> {
  const weights = VaeWeights.random(TINY_WAN_VAE, 1);
  weights.clear("decoder.head.2");
  weights.bias("decoder.head.2").fill(level);
  return weights.tensors;
}

test("the loss adds up its terms, weighted by pixel", async () => {
  const terms = { squared: 2, absolute: 0.5, gradient: 0.25, change: 0.75, latent: 0 };
  const { graph } = buildVaeLoss(TINY_WAN_VAE, SHAPE, terms);
  verify(graph);
  const engine = await Engine.create(serialize(graph));
  const video = sample([2, 3, 5, 16, 16], 1);
  const weight = sample([2, 1, 5, 16, 16], 2);
  const noise = zeros([2, 16, 2, 2, 2]);
  const results = await engine.run({ ...constantDecoder(0.25), video, weight, noise });
  await engine.release();

  const error = video.data.map((x) => 0.25 - x);
  const plane = 5 * 16 * 16;
  const weightOf = (i: number): number => weight.data[Math.floor(i / (3 * plane)) * plane + (i % plane)]!;
  const mean = (value: (i: number) => number, indices: readonly number[]): number =>
    indices.reduce((sum, i) => sum + value(i), 0) / indices.length;
  const all = Array.from(error.keys());
  const rows = all.filter((i) => Math.floor(i / 16) % 16 > 0);
  const columns = all.filter((i) => i % 16 > 0);
  const later = all.filter((i) => i % plane >= 256);
  const slope = (step: number) => (i: number) => weightOf(i) * Math.abs(error[i]! - error[i - step]!);
  const expected =
    2 * mean((i) => weightOf(i) * error[i]! ** 2, all) +
    0.5 * mean((i) => weightOf(i) * Math.abs(error[i]!), all) +
    0.25 * (mean(slope(16), rows) + mean(slope(1), columns)) +
    0.75 * mean(slope(256), later);
  expect(results["loss"]!.data[0]).toBeCloseTo(expected, 4);
  expect(results["mse"]!.data[0]).toBeCloseTo(
    mean((i) => error[i]! ** 2, all),
    4,
  );
});

test("noise reaches the decoder", async () => {
  const { graph } = buildVaeLoss(TINY_WAN_VAE, SHAPE);
  const engine = await Engine.create(serialize(graph));
  const feeds = {
    ...VaeWeights.random(TINY_WAN_VAE, 1).tensors,
    video: sample([2, 3, 5, 16, 16], 1),
    weight: { ...zeros([2, 1, 5, 16, 16]), data: new Float32Array(2 * 5 * 16 * 16).fill(1) },
  };
  const quiet = await engine.run({ ...feeds, noise: zeros([2, 16, 2, 2, 2]) });
  const loud = await engine.run({ ...feeds, noise: sample([2, 16, 2, 2, 2], 3) });
  await engine.release();
  expect(loud["mse"]!.data[0]).not.toBe(quiet["mse"]!.data[0]);
});
