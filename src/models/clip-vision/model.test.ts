import { expect, test } from "vitest";
import { type Graph, mul, sum } from "../../graph/index.ts";
import { UserError } from "../../tensor/errors.ts";
import { sizeOf } from "../../tensor/tensor.ts";
import { slopes } from "../testing.ts";
import { buildClipVision } from "./build.ts";
import { CLIP_VISION_PRESETS, type ClipVisionConfig } from "./config.ts";
import { clipVision } from "./model.ts";

test("the published preset has the published parameters, less the last block and the head", () => {
  const { params, outputs } = buildClipVision(CLIP_VISION_PRESETS.vitH);
  const numParams = [...params.values()].reduce((total, { shape }) => total + sizeOf(shape), 0);
  expect(numParams).toBe(611_086_080);
  expect(outputs.get("clipFeature")!.shape).toEqual([1, 257, 1280]);
  expect([...params.keys()].filter((key) => !key.includes(".transformer.")).sort()).toEqual([
    "visual.cls_embedding",
    "visual.patch_embedding.weight",
    "visual.pos_embedding",
    "visual.pre_norm.bias",
    "visual.pre_norm.weight",
  ]);
  expect(params.has("visual.transformer.30.mlp.2.bias")).toBe(true);
  expect([...params.keys()].some((key) => key.includes("transformer.31"))).toBe(false);
  expect(params.get("visual.transformer.0.attn.to_qkv.weight")!.shape).toEqual([3840, 1280]);
});

test("an architecture whose sizes do not fit is refused", () => {
  const build = (change: Partial<ClipVisionConfig>): Graph =>
    buildClipVision({ ...CLIP_VISION_PRESETS.tiny, ...change });
  expect(() => build({ patchSize: 5 })).toThrow(UserError);
  expect(() => build({ numHeads: 3 })).toThrow(UserError);
  expect(() => build({ numLayers: 1 })).toThrow(UserError);
});

const small: ClipVisionConfig = {
  imageSize: 4,
  patchSize: 2,
  dim: 6,
  numHeads: 2,
  ffnDim: 5,
  numLayers: 2,
  eps: 1e-5,
};

test("it can be trained: gradients predict how the loss changes", async () => {
  // The error function of the exact GELU has no double-precision kernel.
  const found = await slopes({
    dtype: "float32",
    loss: (graph) => {
      const pixels = graph.input("pixels", [2, 3, small.imageSize, small.imageSize]);
      const { output } = clipVision(graph.scope(), small, pixels);
      return sum(mul(output, graph.input("weight", output.shape)));
    },
  });
  expect(found.length).toBe(5 + 12);
  for (const { param, measured, predicted } of found) {
    expect(Math.abs(predicted - measured), param).toBeLessThan(2e-3 * (1 + Math.abs(measured)));
  }
});
