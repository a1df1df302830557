import { expect, test } from "vitest";
import { type Graph, serialize } from "../../graph/index.ts";
import { sampleTensor } from "../../graph/testing.ts";
import { Engine } from "../../runtime/engine.ts";
import { type Tensor, float32 } from "../../tensor/tensor.ts";
import { buildWanDiT } from "./build.ts";
import { WAN_DIT_PRESETS } from "./config.ts";
import { type KvSharing, kvName } from "./kv-sharing.ts";
import { HANDED_ON, wanDiTStages } from "./stages.ts";

const config = { ...WAN_DIT_PRESETS.tiny, numLayers: 5 };
const shape = { latentFrames: 2, latentHeight: 4, latentWidth: 4, textTokens: 3, imageTokens: 5 };
const NUM_TOKENS = 12;
const NUM_VIDEO = 8;

type Values = Record<string, Tensor>;

/** The same value for the same name in every graph. */
function valueOf(name: string, size: readonly number[]): Tensor {
  const seed = Array.from(name).reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) % 9973, 7);
  return sampleTensor(size, seed, { low: -0.5, high: 0.5, dtype: "float32" }) as Tensor;
}

async function run(graph: Graph, given: Values): Promise<Values> {
  const values = [...graph.inputs.values(), ...graph.params.values()];
  const engine = await Engine.create(serialize(graph));
  const results = await engine.run(
    Object.fromEntries(values.map(({ name, shape: size }) => [name, given[name] ?? valueOf(name, size)])),
  );
  await engine.release();
  return results;
}

async function runStages(kv: KvSharing | null, blocksPerStage: number, given: Values): Promise<Values> {
  const values = { ...given };
  const outputs: Values = {};
  for (const build of wanDiTStages(config, shape, kv, blocksPerStage)) {
    for (const [name, result] of Object.entries(await run(build(), values))) {
      if (name.startsWith(HANDED_ON)) values[name.slice(HANDED_ON.length)] = result;
      else outputs[name] = result;
    }
  }
  return outputs;
}

const common = { mode: "paper", blocks: [1, 3, 4], maxMapBlock: 2 } as const;
const shared: Values = Object.fromEntries(
  common.blocks.flatMap((block) => [
    [kvName(block, "k"), valueOf(`k${block}`, [1, NUM_TOKENS - 3, config.dim])],
    [kvName(block, "v"), valueOf(`v${block}`, [1, NUM_TOKENS - 3, config.dim])],
    ...(["subject", "sourceSubject"] as const).map((name) => [
      kvName(block, name),
      { dtype: "bool", shape: [NUM_VIDEO], data: Uint8Array.from([1, 1, 0, 0, 1, 0, 0, block & 1]) },
    ]),
  ]),
) as Values;

test.each([
  ["no sharing", null],
  ["capturing", { ...common, role: "capture", branch: "positive" }],
  ["capturing, negative branch", { ...common, role: "capture", branch: "negative" }],
  ["sharing", { ...common, role: "share", branch: "positive" }],
  ["sharing, negative branch", { ...common, role: "share", branch: "negative" }],
] as [string, KvSharing | null][])("stages give the bits of the whole: %s", async (_, kv) => {
  const given = { timestep: float32([700]), ...shared };
  const expected = await run(buildWanDiT(config, shape, kv), given);
  for (const blocksPerStage of [1, 2]) expect(await runStages(kv, blocksPerStage, given)).toEqual(expected);
});

test("an empty stage is refused", () => {
  expect(() => wanDiTStages(config, shape, null, 0)).toThrow("stages of 0 blocks");
});
