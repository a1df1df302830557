import { join } from "node:path";
import { expect, test } from "vitest";
import { openSafetensors } from "../../runtime/safetensors.ts";
import { buildWanDiT } from "./build.ts";
import { WAN_DIT_PRESETS } from "./config.ts";

/** Keys and shapes, with the blocks' numbers folded into one pattern where all blocks agree. */
function keyPatterns(params: ReadonlyMap<string, { readonly shape: readonly number[] }>): string {
  const counts = new Map<string, number>();
  for (const [key, { shape }] of params) {
    const line = `${key.replace(/^blocks\.\d+\./, "blocks.*.")} [${shape.join(", ")}]`;
    counts.set(line, (counts.get(line) ?? 0) + 1);
  }
  return [...counts].map(([line, count]) => `${count} x ${line}\n`).join("");
}

test("the published architecture has the published keys and shapes", async () => {
  const graph = buildWanDiT(WAN_DIT_PRESETS.wan14b, { latentFrames: 1, latentHeight: 2, latentWidth: 2 });
  await expect(keyPatterns(graph.params)).toMatchFileSnapshot("wan14b-keys.txt");
});

test("a graph asks for exactly the tensors of a published state dict", async () => {
  const weights = await openSafetensors(
    join(import.meta.dirname, "../../../fixtures/dit/weights.safetensors"),
  );
  const config = { ...WAN_DIT_PRESETS.wan14b, dim: 96, numHeads: 3, ffnDim: 192, numLayers: 4, textDim: 64 };
  const shape = { latentFrames: 1, latentHeight: 2, latentWidth: 2 };
  const { params } = buildWanDiT({ ...config, freqDim: 32 }, shape);
  expect([...params.keys()].sort()).toEqual([...weights.tensors.keys()].sort());
  for (const [key, { shape: expected }] of weights.tensors) expect(params.get(key)!.shape).toEqual(expected);
});
