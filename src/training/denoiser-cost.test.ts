import { expect, test } from "vitest";
import { CLIP_VISION_PRESETS } from "../models/clip-vision/config.ts";
import { LORA_TARGETS } from "../models/layers/lora.ts";
import { UMT5_PRESETS, type Umt5Config } from "../models/umt5/config.ts";
import { WAN_DIT_PRESETS } from "../models/wan-dit/config.ts";
import { stageCost } from "./denoiser-cost.ts";

const models = {
  dit: { ...WAN_DIT_PRESETS.tiny, numLayers: 4 },
  textEncoder: UMT5_PRESETS.tiny,
  imageEncoder: CLIP_VISION_PRESETS.tiny,
};
const network = {
  models,
  size: { channels: 16, height: 4, width: 6, imageSize: 16 },
  textTokens: 8,
} as const;
const lora = { rank: 2, alpha: 2, targets: LORA_TARGETS };
const stage = { untilStep: 1, latentFrames: 2, batch: 2 };

test.each([
  ["all weights", null],
  ["LoRA", lora],
])("both ways to compute a step have the same parameters: %s", (_, recipe) => {
  const [none, blocks] = (["none", "blocks"] as const).map((recompute) =>
    stageCost({ ...network, lora: recipe, recompute }, stage),
  );
  expect(blocks!.weightBytes).toBe(none!.weightBytes);
  expect(blocks!.trainableBytes).toBe(none!.trainableBytes);
});

test.each(["none", "blocks"] as const)("steps of LoRA hold and compute no encoder: %s", (recompute) => {
  const costWith = (textEncoder: Umt5Config, recipe: typeof lora | null) =>
    stageCost({ ...network, models: { ...models, textEncoder }, lora: recipe, recompute }, stage);
  const large = { ...models.textEncoder, ffnDim: 640 };
  expect(costWith(large, lora)).toEqual(costWith(models.textEncoder, lora));
  expect(costWith(large, null).flops).toBeGreaterThan(costWith(models.textEncoder, null).flops);
});
