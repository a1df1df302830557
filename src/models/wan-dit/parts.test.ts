import { expect, test } from "vitest";
import { type Graph, serialize, verify } from "../../graph/index.ts";
import { sampleTensor } from "../../graph/testing.ts";
import { Engine } from "../../runtime/engine.ts";
import { type Tensor } from "../../tensor/tensor.ts";
import { type WanDiTShape, buildWanDiT, declareInputs } from "./build.ts";
import { WAN_DIT_PRESETS } from "./config.ts";
import { type Part, blockKey, blocksPart, embedPart, headPart } from "./parts.ts";

const config = { ...WAN_DIT_PRESETS.tiny, numLayers: 3 };
const shape: WanDiTShape = {
  batch: 2,
  latentFrames: 2,
  latentHeight: 4,
  latentWidth: 6,
  textTokens: 3,
  imageTokens: 5,
  timesteps: "per-frame",
};

const OUT = "out.";

/** Runs a part with the values it needs, found by the names that `keyOf` gives; its results, by name. */
async function run(
  part: Part<string>,
  values: Readonly<Record<string, Tensor>>,
  keyOf = (key: string) => key,
): Promise<Record<string, Tensor>> {
  for (const [name, value] of part.end) part.graph.output(OUT + name, value);
  verify(part.graph);
  const names = [...part.graph.inputs.keys(), ...part.graph.params.keys()];
  const engine = await Engine.create(serialize(part.graph));
  const feeds = Object.fromEntries(names.map((name) => [name, values[keyOf(name)]!]));
  const results = await engine.run(feeds);
  await engine.release();
  return Object.fromEntries(
    Object.entries(results).map(([name, result]) => [name.slice(OUT.length), result]),
  );
}

function sampleFeeds(graph: Graph): Record<string, Tensor> {
  const values = [...graph.inputs.values(), ...graph.params.values()];
  return Object.fromEntries(
    values.map(({ name, shape: size }, i) => [
      name,
      sampleTensor(size, i, { dtype: "float32", low: -0.4, high: 0.4 }) as Tensor,
    ]),
  );
}

test("embed, ranges of blocks and head give what the whole model gives, bit for bit", async () => {
  const whole = buildWanDiT(config, shape);
  const feeds = sampleFeeds(whole);
  feeds["timestep"] = sampleTensor([2, 2], 1, { low: 0, high: 1000, dtype: "float32" }) as Tensor;
  const engine = await Engine.create(serialize(whole));
  const { velocity: expected } = await engine.run(feeds);
  await engine.release();

  const embedded = embedPart(config, "", (graph) => declareInputs(graph, config, shape));
  const values = { ...feeds, ...(await run(embedded, feeds)) };
  for (const [first, numBlocks] of [
    [0, 2],
    [2, 1],
  ] as const) {
    const part = blocksPart(config, "", embedded.layout, { first: 0, length: numBlocks });
    const keyOf = (name: string) => (part.graph.params.has(name) ? blockKey("", name, first) : name);
    Object.assign(values, await run(part, values, keyOf));
  }
  const { velocity } = await run(headPart(config, "", embedded.layout), values);
  expect(velocity).toEqual(expected);
});

test("keys of a range are those of the model, moved by its first block", () => {
  expect(blockKey("", "blocks.1.ffn.0.weight", 4)).toBe("blocks.5.ffn.0.weight");
  expect(blockKey("dit", "dit.blocks.0.modulation", 12)).toBe("dit.blocks.12.modulation");
  expect(() => blockKey("dit", "blocks.0.modulation", 1)).toThrow("no block's");
});
