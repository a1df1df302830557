import { expect, test } from "vitest";
import { buildClipVision } from "../models/clip-vision/build.ts";
import { CLIP_VISION_PRESETS } from "../models/clip-vision/config.ts";
import { buildUmt5 } from "../models/umt5/build.ts";
import { UMT5_PRESETS } from "../models/umt5/config.ts";
import { Random } from "../tensor/random.ts";
import { CLIP_VISION_INIT, type InitTable, WAN_DIT_INIT, initialize, umt5Init } from "./init.ts";

const start = (shapes: Record<string, number[]>, table: InitTable, seed = 1) =>
  initialize(new Map(Object.entries(shapes)), { "model.": table }, new Random(seed));

function deviation(values: Float32Array): number {
  return Math.sqrt(values.reduce((sum, x) => sum + x * x, 0) / values.length);
}

test("matrices keep the variance, norms start as identity, what is added starts at zero", () => {
  const params = start(
    {
      "model.blocks.0.ffn.2.weight": [64, 256],
      "model.patch_embedding.weight": [64, 36, 1, 2, 2],
      "model.blocks.0.norm3.weight": [64],
      "model.blocks.0.norm3.bias": [64],
      "model.blocks.0.modulation": [1, 6, 64],
      "model.head.head.weight": [64, 64],
      "model.hand_patch_embedding.1.weight": [64, 64, 1, 1, 1],
      "model.blocks.0.ffn.0.lora_A.weight": [16, 64],
      "model.blocks.0.ffn.0.lora_B.weight": [256, 16],
    },
    WAN_DIT_INIT,
  );
  const spread = (key: string): number => deviation(params[`model.${key}`]!.data);
  expect(spread("blocks.0.ffn.2.weight")).toBeCloseTo(1 / 16, 2);
  expect(spread("patch_embedding.weight")).toBeCloseTo(1 / 12, 2);
  expect(spread("blocks.0.modulation")).toBeCloseTo(1 / 8, 1);
  expect(params["model.blocks.0.norm3.weight"]!.data).toEqual(new Float32Array(64).fill(1));
  expect(spread("blocks.0.ffn.0.lora_A.weight")).toBeGreaterThan(0.05);
  for (const key of ["blocks.0.norm3.bias", "head.head.weight", "hand_patch_embedding.1.weight"]) {
    expect(spread(key), key).toBe(0);
  }
  expect(spread("blocks.0.ffn.0.lora_B.weight")).toBe(0);
});

test("a value depends on seed and key alone", () => {
  const [a, b, c] = ["model.a.weight", "model.b.weight", "model.c.weight"] as const;
  const one = start({ [a]: [4, 4], [b]: [4, 4] }, WAN_DIT_INIT);
  const two = start({ [c]: [9, 2], [b]: [4, 4], [a]: [4, 4] }, WAN_DIT_INIT);
  expect(two[a]).toEqual(one[a]);
  expect(two[b]).toEqual(one[b]);
  expect(one[a]!.data).not.toEqual(one[b]!.data);
  expect(start({ [a]: [4, 4] }, WAN_DIT_INIT, 2)[a]!.data).not.toEqual(one[a]!.data);
});

test("the tables cover every parameter of the encoders", () => {
  const text = buildUmt5(UMT5_PRESETS.tiny, { numTokens: 4 });
  const image = buildClipVision(CLIP_VISION_PRESETS.tiny);
  const shapes = new Map([...text.params, ...image.params].map(([key, { shape }]) => [key, shape]));
  const tables = { "visual.": CLIP_VISION_INIT, "": umt5Init(UMT5_PRESETS.tiny) };
  const params = initialize(shapes, tables, new Random(1));
  for (const [key, { data }] of Object.entries(params)) {
    if (!key.endsWith("bias")) expect(deviation(data), key).toBeGreaterThan(0);
  }
});

test("a parameter that no rule knows is an error", () => {
  expect(() => start({ "other.weight": [1] }, WAN_DIT_INIT)).toThrow(/none of the models/);
  expect(() => start({ "model.gamma": [1] }, WAN_DIT_INIT)).toThrow(/nothing says/);
});
