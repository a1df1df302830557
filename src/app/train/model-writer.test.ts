import { expect, test } from "vitest";
import { float32 } from "../../tensor/tensor.ts";
import { baseWeights, finetuning } from "./model-writer.ts";

const A = float32([1, 2, 3, 4, 5, 6], [2, 3]);
const B = float32([1, -2, 3, -4], [2, 2]);
const PATCHES = float32([7, 8], [2]);
const LAYER = "blocks.0.ffn.0";

/** As a training of the denoiser holds them. */
const params = {
  [`dit.${LAYER}.weight`]: float32([9]),
  [`dit.${LAYER}.lora_A.weight`]: A,
  [`dit.${LAYER}.lora_B.weight`]: B,
  "dit.hand_patch_embedding.0.weight": PATCHES,
  "text_encoder.norm.weight": float32([1]),
  "image_encoder.cls_embedding": float32([2]),
};

const trained = Object.fromEntries(
  Object.entries(params).filter(([key]) => /lora_|patch_embedding/.test(key)),
);

test("a file's pairs count once: alpha / rank goes into B; patch embeddings are saved with them", () => {
  expect(finetuning(trained, { rank: 2, alpha: 4 })).toEqual({
    [`${LAYER}.lora_A.weight`]: A,
    [`${LAYER}.lora_B.weight`]: float32([2, -4, 6, -8], [2, 2]),
    "hand_patch_embedding.0.weight": PATCHES,
  });
  expect(finetuning(trained, { rank: 2, alpha: 2 })[`${LAYER}.lora_B.weight`]).toBe(B);
});

test("the parts of a base have the keys of their files, and no pairs", () => {
  expect(Object.keys(baseWeights(params, "dit"))).toEqual([
    `${LAYER}.weight`,
    "hand_patch_embedding.0.weight",
  ]);
  expect(Object.keys(baseWeights(params, "textEncoder"))).toEqual(["norm.weight"]);
  expect(Object.keys(baseWeights(params, "imageEncoder"))).toEqual(["visual.cls_embedding"]);
});
