import { expect, test } from "vitest";
import { type Graph, mean, mul, serialize, sub } from "../../graph/index.ts";
import { sampleTensor } from "../../graph/testing.ts";
import { graphToText } from "../../graph/text.ts";
import { Engine } from "../../runtime/engine.ts";
import { type Tensor } from "../../tensor/tensor.ts";
import { LORA_TARGETS, addLora } from "../layers/lora.ts";
import { largestError, slopes } from "../testing.ts";
import { type WanDiTShape, buildWanDiT, declareInputs } from "./build.ts";
import { WAN_DIT_PRESETS, type WanDiTConfig } from "./config.ts";
import { wanDiT } from "./model.ts";

const { tiny } = WAN_DIT_PRESETS;
const shape: WanDiTShape = {
  latentFrames: 2,
  latentHeight: 4,
  latentWidth: 4,
  textTokens: 3,
  imageTokens: 5,
};

/** Values for all inputs and parameters, of a size that keeps activations near 1. */
function sampleFeeds(graph: Graph): Record<string, Tensor> {
  const values = [...graph.inputs.values(), ...graph.params.values()];
  return Object.fromEntries(
    values.map((value, i) => {
      const width = value.shape.slice(1).reduce((n, size) => n * size, 1);
      const high = graph.params.has(value.name) && width > 1 ? Math.sqrt(3 / width) : 1;
      return [value.name, sampleTensor(value.shape, i, { low: -high, high, dtype: graph.dtype }) as Tensor];
    }),
  );
}

test("the graph of the tiny preset stays as it is", async () => {
  const graph = buildWanDiT({ ...tiny, numLayers: 1 }, shape);
  await expect(graphToText(graph)).toMatchFileSnapshot("tiny-graph.txt");
});

test("gradients of all parameters, LoRA among them, agree with differences in double precision", async () => {
  // Erf has no double-precision kernel; only the image projection needs it.
  const config: WanDiTConfig = { ...tiny, imageDim: null };
  const timestep = sampleTensor([2, 2], 1, { low: 0, high: 1000 }) as Tensor;
  const found = await slopes({
    dtype: "float64",
    feeds: { timestep },
    loss: (graph) => {
      const inputs = declareInputs(graph, config, { ...shape, batch: 2, timesteps: "per-frame" });
      const { velocity } = wanDiT(graph.scope(), config, inputs);
      const error = sub(velocity, graph.input("target", velocity.shape));
      addLora(graph, { rank: 2, scale: 0.5, targets: LORA_TARGETS });
      return mean(mul(error, error));
    },
  });
  expect(found.filter(({ param }) => param.includes("lora_"))).toHaveLength(2 * 10 * tiny.numLayers);
  expect(largestError(found, 0).error).toBeLessThan(1e-7);
});

test("a batch gives what its samples give alone", async () => {
  const graph = buildWanDiT(tiny, { ...shape, batch: 2 });
  const single = buildWanDiT(tiny, shape);
  const feeds = {
    ...sampleFeeds(graph),
    timestep: { dtype: "float32", shape: [2], data: Float32Array.of(900, 50) },
  };
  const both = await Engine.create(serialize(graph));
  const one = await Engine.create(serialize(single));
  const expected = (await both.run(feeds as Record<string, Tensor>))["velocity"]!.data as Float32Array;
  for (const sample of [0, 1]) {
    const alone = Object.fromEntries(
      Object.entries(feeds).map(([name, { data, shape: size, dtype }]) => {
        if (!graph.inputs.has(name)) return [name, { data, shape: size, dtype }];
        const length = data.length / 2;
        const part = data.slice(sample * length, (sample + 1) * length);
        return [name, { data: part, shape: [1, ...size.slice(1)], dtype }];
      }),
    );
    const velocity = (await one.run(alone as Record<string, Tensor>))["velocity"]!.data as Float32Array;
    velocity.forEach((x, i) => expect(x).toBeCloseTo(expected[sample * velocity.length + i]!, 5));
  }
  await both.release();
  await one.release();
});

test("sizes that do not fit are refused by name", () => {
  expect(() => buildWanDiT(tiny, { ...shape, latentWidth: 5 })).toThrow(/5 is not a positive multiple of 2/);
  expect(() => buildWanDiT({ ...tiny, numHeads: 7 }, shape)).toThrow(/dim 24 over 7 heads/);
  const kv = { role: "share", mode: "paper", branch: "positive", blocks: [1], maxMapBlock: 0 } as const;
  expect(() => buildWanDiT(tiny, { ...shape, batch: 2 }, kv)).toThrow(/one sample per run/);
  expect(() => buildWanDiT(tiny, shape, { ...kv, blocks: [2] })).toThrow(/blocks \[2\].*0 … 1/);
  expect(() => buildWanDiT(tiny, shape, { ...kv, maxMapBlock: -1 })).toThrow(/at least 0/);
});
