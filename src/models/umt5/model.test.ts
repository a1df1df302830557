import { expect, test } from "vitest";
import { type Graph, mul, sum } from "../../graph/index.ts";
import { UserError } from "../../tensor/errors.ts";
import { int64, sizeOf } from "../../tensor/tensor.ts";
import { slopes } from "../testing.ts";
import { buildUmt5 } from "./build.ts";
import { UMT5_PRESETS, type Umt5Config } from "./config.ts";
import { umt5Encoder, zeroPadding } from "./model.ts";
import { relativePositionBucket, relativePositionBuckets } from "./relative-position.ts";

test("buckets: exact near by, shared far away, apart before and after", () => {
  const bucket = (position: number): number => relativePositionBucket(position, UMT5_PRESETS.xxl);
  expect([0, -1, -7, 1, 7].map(bucket)).toEqual([0, 1, 7, 17, 23]);
  // Eight wide buckets from 8 to 128: their borders lie a factor of 16^(1/8) apart.
  expect([-8, -11, -12, -16, -90, -91, -500].map(bucket)).toEqual([8, 8, 9, 10, 14, 15, 15]);
  expect(bucket(500)).toBe(31);
  expect(relativePositionBuckets(3, UMT5_PRESETS.xxl)).toEqual([0, 17, 18, 1, 0, 17, 2, 1, 0]);
});

test("the published preset has the published parameters", () => {
  const { params } = buildUmt5(UMT5_PRESETS.xxl, { numTokens: 2 });
  const numParams = [...params.values()].reduce((total, { shape }) => total + sizeOf(shape), 0);
  expect(numParams).toBe(5_680_910_336);
  expect(params.size).toBe(24 * 10 + 2);
  const block = [...params]
    .filter(([key]) => key.startsWith("blocks.23."))
    .map(([key, { shape }]) => `${key} ${shape.join("x")}`);
  expect(block.sort()).toEqual([
    "blocks.23.attn.k.weight 4096x4096",
    "blocks.23.attn.o.weight 4096x4096",
    "blocks.23.attn.q.weight 4096x4096",
    "blocks.23.attn.v.weight 4096x4096",
    "blocks.23.ffn.fc1.weight 10240x4096",
    "blocks.23.ffn.fc2.weight 4096x10240",
    "blocks.23.ffn.gate.0.weight 10240x4096",
    "blocks.23.norm1.weight 4096",
    "blocks.23.norm2.weight 4096",
    "blocks.23.pos_embedding.embedding.weight 32x64",
  ]);
});

test("an architecture whose sizes do not fit is refused", () => {
  const build = (change: Partial<Umt5Config>): Graph =>
    buildUmt5({ ...UMT5_PRESETS.tiny, ...change }, { numTokens: 2 });
  expect(() => build({ numHeads: 3 })).toThrow(UserError);
  expect(() => build({ numBuckets: 30 })).toThrow(UserError);
  expect(() => build({ maxDistance: 8 })).toThrow(UserError);
});

const small: Umt5Config = {
  ...UMT5_PRESETS.tiny,
  vocabSize: 12,
  dim: 6,
  attentionDim: 4,
  ffnDim: 5,
  numBuckets: 8,
};
const ids = int64([3, 7, 3, 1, 0, 5, 1, 0, 0, 0], [2, 5]);
const mask = int64([1, 1, 1, 1, 0, 1, 1, 0, 0, 0], [2, 5]);

test("it can be trained: gradients predict how the loss changes", async () => {
  const found = await slopes({
    dtype: "float64",
    feeds: { ids, mask },
    loss: (graph) => {
      const tokens = graph.input("ids", ids.shape, { dtype: "int64" });
      const isToken = graph.input("mask", mask.shape, { dtype: "int64" });
      const { output } = umt5Encoder(graph.scope(), small, tokens, isToken);
      return sum(mul(zeroPadding(output, isToken), graph.input("weight", output.shape)));
    },
  });
  expect(found.length).toBe(2 * 10 + 2);
  for (const { param, measured, predicted } of found) expect(predicted, param).toBeCloseTo(measured, 6);
});
