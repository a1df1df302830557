import { expect, test } from "vitest";
import { countFlops } from "../../graph/flops.ts";
import { buildWanDiT } from "./build.ts";
import { WAN_DIT_PRESETS } from "./config.ts";
import { countTokens, sharedKeyBytes } from "./cost.ts";

const published = { latentFrames: 21, latentHeight: 90, latentWidth: 160 };

test("two blocks of width 1536 over 960 + 192 tokens are 244.5 GFLOP", () => {
  const config = { ...WAN_DIT_PRESETS.wan14b, dim: 1536, numHeads: 12, ffnDim: 8960, numLayers: 2 };
  const shape = { latentFrames: 5, latentHeight: 24, latentWidth: 32 };
  expect(countTokens(config, shape)).toEqual({ video: 960, ref: 192 });
  expect(countFlops(buildWanDiT(config, shape)) / 1e9).toBeCloseTo(244.5, 1);
});

test("81 frames of 720p have 79,200 tokens", () => {
  expect(countTokens(WAN_DIT_PRESETS.wan14b, published)).toEqual({ video: 75_600, ref: 3_600 });
});

test("shared keys cost two tensors per block, of the background only", () => {
  const all = sharedKeyBytes(WAN_DIT_PRESETS.wan14b, published, 6, 1, 2);
  expect(all).toBe(2 * 6 * 79_200 * 5120 * 2);
  const background = sharedKeyBytes(WAN_DIT_PRESETS.wan14b, published, 6, 0.5, 2);
  expect(background).toBe(2 * 6 * (37_800 + 3_600) * 5120 * 2);
});
