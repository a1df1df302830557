import { expect, test } from "vitest";
import { Graph, countFlops, gradients, sum } from "../../graph/index.ts";
import { evaluate, sampleTensor } from "../../graph/testing.ts";
import { type Tensor, float32 } from "../../tensor/tensor.ts";
import { dense } from "./dense.ts";
import { LORA_TARGETS, addLora } from "./lora.ts";
import { mergeLora, mergeLoras, parseLora } from "./lora-merge.ts";

const KEY = "blocks.0.ffn.0.weight";
const sample = (shape: readonly number[], seed: number): Tensor<"float32"> =>
  sampleTensor(shape, seed, { dtype: "float32" }) as Tensor<"float32">;

function layer(): { graph: Graph; feeds: Record<string, Tensor<"float32">> } {
  const graph = new Graph();
  const out = dense(graph.scope("blocks.0.ffn.0"), graph.input("x", [5, 6]), 4);
  graph.output("loss", sum(out));
  graph.output("out", out);
  return {
    graph,
    feeds: { x: sample([5, 6], 1), [KEY]: sample([4, 6], 2), "blocks.0.ffn.0.bias": sample([4], 3) },
  };
}

const pair = { a: sample([2, 6], 4), b: sample([4, 2], 5), scale: 1 };
const pairFeeds = { "blocks.0.ffn.0.lora_A.weight": pair.a, "blocks.0.ffn.0.lora_B.weight": pair.b };

test("pairs in the graph equal pairs merged into the weights", async () => {
  const { graph, feeds } = layer();
  addLora(graph, { rank: 2, scale: 0.5, targets: LORA_TARGETS });
  const inGraph = await evaluate(graph, { ...feeds, ...pairFeeds });
  const lora = { pairs: new Map([[KEY, pair]]), whole: new Map(), diffs: new Map() };
  const merged = mergeLora(new Map([[KEY, feeds[KEY]!]]), lora, 0.5).get(KEY)!;
  const plain = await evaluate(layer().graph, { ...feeds, [KEY]: merged });
  (plain["out"]!.data as Float32Array).forEach((x, i) => expect(inGraph["out"]!.data[i]).toBeCloseTo(x, 5));
});

test("training pairs never multiplies out the gradient of the frozen weight", () => {
  const { graph } = layer();
  const { a, b } = addLora(graph, { rank: 2, scale: 1, targets: LORA_TARGETS }).get(KEY)!;
  const forward = countFlops(graph);
  gradients(graph.outputs.get("loss")!, [a, b]);
  expect(countFlops(graph) - forward).toBeLessThan(forward);
  expect(() => addLora(layer().graph, { rank: 2, scale: 1, targets: /no such layer/ })).toThrow(/matches/);
});

test("weights that a file holds whole replace those of the base", () => {
  const base = new Map([["patch_embedding.weight", float32([1, 2])]]);
  const lora = parseLora(new Map([["pipe.dit.patch_embedding.weight", float32([3, 4])]]));
  expect(mergeLora(base, lora).get("patch_embedding.weight")).toEqual(float32([3, 4]));
  expect(base.get("patch_embedding.weight")).toEqual(float32([1, 2]));
});

test("several LoRAs add up with their weights; whole weights move by theirs", () => {
  const base = new Map([[KEY, sample([4, 6], 2)]]);
  const lora = { pairs: new Map([[KEY, pair]]), whole: new Map(), diffs: new Map() };
  const half = { pairs: new Map([[KEY, { ...pair, scale: 0.5 }]]), whole: new Map(), diffs: new Map() };
  const together = mergeLoras(KEY, base.get(KEY)!, [
    { lora, weight: 1 },
    { lora: half, weight: -2 },
  ]);
  together.data.forEach((x, i) => expect(x).toBeCloseTo(base.get(KEY)!.data[i]!, 6));

  const whole = (x: number) => ({
    pairs: new Map(),
    whole: new Map([["p", float32([x])]]),
    diffs: new Map(),
  });
  const moved = mergeLoras("p", float32([1]), [
    { lora: whole(3), weight: 1 },
    { lora: whole(5), weight: 0.25 },
  ]);
  expect(moved).toEqual(float32([3.5]));
});

test("differences are added with the LoRA's weight, after what files hold whole", () => {
  const lora = parseLora(
    new Map([
      ["diffusion_model.norm.diff", float32([1, 2])],
      ["diffusion_model.q.diff_b", float32([4])],
      ["diffusion_model.blocks.0.diff_m", float32([8])],
    ]),
  );
  expect([...lora.diffs.keys()]).toEqual(["norm.weight", "q.bias", "blocks.0.modulation"]);
  const merged = (key: string, base: number[], weight: number) =>
    mergeLoras(key, float32(base), [{ lora, weight }]).data;
  expect(merged("norm.weight", [1, 1], 1)).toEqual(Float32Array.of(2, 3));
  expect(merged("q.bias", [1], 0.5)).toEqual(Float32Array.of(3));
  expect(merged("blocks.0.modulation", [1], -1)).toEqual(Float32Array.of(-7));
  expect(merged("q.weight", [1], 1)).toEqual(Float32Array.of(1));
  const whole = { pairs: new Map(), whole: new Map([["q.bias", float32([10])]]), diffs: new Map() };
  const stack = [
    { lora: whole, weight: 1 },
    { lora, weight: 1 },
  ];
  expect(mergeLoras("q.bias", float32([1]), stack)).toEqual(float32([14]));
  expect(() => merged("norm.weight", [1], 1)).toThrow(/changes norm\.weight as \[2\]; the model has \[1\]/);
});

test("files that do not fit are refused by name", () => {
  const half = new Map([["blocks.0.ffn.0.lora_A.weight", pair.a]]);
  expect(() => parseLora(half)).toThrow(/no lora_B for blocks\.0\.ffn\.0\.weight/);
  const swapped = new Map(Object.entries({ ...pairFeeds, "blocks.0.ffn.0.lora_B.weight": pair.a }));
  expect(() => parseLora(swapped)).toThrow(/A \[2, 6\] and B \[2, 6\]/);
  const lora = parseLora(new Map(Object.entries(pairFeeds)));
  expect(() => mergeLora(new Map([[KEY, sample([6, 4], 1)]]), lora)).toThrow(
    /\[4, 6\]; the model has \[6, 4\]/,
  );
  expect(() => mergeLora(new Map(), lora)).toThrow(/does not have/);
});
