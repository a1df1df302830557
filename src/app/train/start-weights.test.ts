import { expect, test } from "vitest";
import { LORA_TARGETS, addLora } from "../../models/layers/lora.ts";
import { Random } from "../../tensor/random.ts";
import { type Tensor, float32, sizeOf } from "../../tensor/tensor.ts";
import { buildDenoiserLoss, denoiserInTraining, givenEncodings } from "../../training/denoiser-loss.ts";
import { MODEL_PRESETS } from "./model-source.ts";
import { startWeights } from "./start-weights.ts";

const { textTokens, ...models } = MODEL_PRESETS.tiny;
const smallest = { batch: 1, latentFrames: 1, latentHeight: 2, latentWidth: 2, textTokens };
const { graph } = buildDenoiserLoss(denoiserInTraining(models, smallest, givenEncodings));
addLora(graph, { rank: 2, scale: 1, targets: LORA_TARGETS });
const shapes = new Map([...graph.params].map(([key, { shape }]) => [key, shape] as const));

/** A model as it was before it was finetuned: without pairs, and without patches of reference and hands. */
function published(leftOut = /lora_|(?:ref|hand)_patch/): Record<string, Tensor<"float32">> {
  const keys = [...shapes].filter(([key]) => !leftOut.test(key));
  return Object.fromEntries(
    keys.map(([key, shape]) => [key, float32(new Random(key).normals(sizeOf(shape)), shape)]),
  );
}

test("finetuning begins with the reference's patches as the video's, hands that add nothing, and empty pairs", () => {
  const given = published();
  const weights = startWeights(shapes, models, given, 1);
  expect(new Set(Object.keys(weights))).toEqual(new Set(shapes.keys()));
  for (const [key, value] of Object.entries(given)) expect(weights[key], key).toBe(value);

  const video = weights["dit.patch_embedding.weight"]!;
  const reference = weights["dit.ref_patch_embedding.weight"]!;
  // Of noisy latents, mask and skeleton, in this order, the reference has the first.
  const [rows, channels, ...patch] = video.shape as [number, number, ...number[]];
  expect(reference.shape).toEqual([rows, models.dit.outDim, ...patch]);
  const size = sizeOf(reference.shape.slice(1));
  for (let row = 0; row < rows; row++) {
    const from = row * channels * sizeOf(patch);
    expect([...reference.data.subarray(row * size, (row + 1) * size)]).toEqual([
      ...video.data.subarray(from, from + size),
    ]);
  }
  expect(weights["dit.ref_patch_embedding.bias"]!.data).toEqual(weights["dit.patch_embedding.bias"]!.data);

  const isZero = (key: string): boolean => weights[key]!.data.every((x) => x === 0);
  expect(isZero("dit.hand_patch_embedding.1.weight") && isZero("dit.hand_patch_embedding.1.bias")).toBe(true);
  expect(isZero("dit.hand_patch_embedding.0.weight")).toBe(false);
  const pairs = [...shapes.keys()].filter((key) => key.includes("lora_"));
  for (const key of pairs) expect(isZero(key), key).toBe(key.includes("lora_B"));
});

test("patches that a model has are taken as they are", () => {
  const given = published(/lora_/);
  const weights = startWeights(shapes, models, given, 1);
  expect(weights["dit.ref_patch_embedding.weight"]).toBe(given["dit.ref_patch_embedding.weight"]);
  expect(weights["dit.hand_patch_embedding.1.weight"]).toBe(given["dit.hand_patch_embedding.1.weight"]);
});

test("what finetuning does not add must be there, in its shape", () => {
  expect(() => startWeights(shapes, models, published(/lora_|blocks\.0\.ffn\.0\.weight/), 1)).toThrow(
    'the weights to start from lack "dit.blocks.0.ffn.0.weight"',
  );
  const given = { ...published(), "dit.patch_embedding.bias": float32([1]) };
  expect(() => startWeights(shapes, models, given, 1)).toThrow(
    /have "dit\.patch_embedding\.bias" as \[1\]; expected \[\d+\]/,
  );
});
