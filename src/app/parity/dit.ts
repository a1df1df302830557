/** The denoiser against the published one: velocity of every case, and all intermediates the fixture holds. */
import { join } from "node:path";
import { Graph, type Value, concat, rearrange, reshape } from "../../graph/index.ts";
import { type WanDiTConfig } from "../../models/wan-dit/config.ts";
import { type WanDiTResult, wanDiT } from "../../models/wan-dit/model.ts";
import { type TokenGrid, ropeAngles } from "../../models/wan-dit/rope.ts";
import { type Checkpoint, openSafetensors } from "../../runtime/safetensors.ts";
import {
  type DitFeeds,
  declareCase,
  ditConfigSchema,
  modelSchema,
  readCaseInputs,
  wanDiTConfig,
} from "./dit-fixture.ts";
import { type NamedRun, compareNamedValues } from "./named-values.ts";
import { type ParityCheck, type ParityRow, difference, parityRow, readConfig } from "./rows.ts";

const TOLERANCE = 2e-5;
const ROPE_TOLERANCE = 1e-6;

export const ditCheck: ParityCheck = {
  folder: "dit",
  async run(dir) {
    const config = await readConfig(dir, ditConfigSchema);
    const inputs = await openSafetensors(join(dir, "inputs.safetensors"));
    const golden = await openSafetensors(join(dir, "outputs.safetensors"));
    const rows: ParityRow[] = [];
    for (const [name, { overrides, inputs: description }] of Object.entries(config.cases)) {
      const feeds = await readCaseInputs(inputs, name, description);
      const model = modelSchema.parse({ ...config.model_config, ...overrides });
      const architecture = wanDiTConfig(model, feeds.clipFeature.shape.at(-1)!);
      rows.push(...(await checkCase(dir, name, architecture, feeds, golden)));
    }
    return rows;
  },
};

async function checkCase(
  dir: string,
  name: string,
  config: WanDiTConfig,
  feeds: DitFeeds,
  golden: Checkpoint,
): Promise<ParityRow[]> {
  const graph = new Graph();
  const result = wanDiT(graph.scope(), config, declareCase(graph, config, feeds));
  const weights = await openSafetensors(join(dir, "weights.safetensors"));
  const handConv =
    config.hand === "conv" ? [await openSafetensors(join(dir, "weights_handconv.safetensors"))] : [];
  const run: NamedRun = {
    graph,
    values: namedValues(result),
    feeds: Object.fromEntries(Object.entries(feeds).filter(([input]) => graph.inputs.has(input))),
    weights: [...handConv, weights],
  };
  const tables = ropeTables(config, result.embedded.grid);
  const rows = await compareNamedValues(name, golden, run, TOLERANCE, [...tables.keys()]);
  for (const [table, angles] of tables) {
    const key = `${name}.${table}`;
    if (!golden.tensors.has(key)) continue;
    const expected = await golden.readTensor(key);
    rows.push(parityRow(key, difference(angles, expected.data, "absolute"), ROPE_TOLERANCE));
  }
  return rows;
}

/** Cosines and sines of the positions, video tokens apart from reference tokens. */
function ropeTables(config: WanDiTConfig, grid: TokenGrid): Map<string, Float64Array> {
  const angles = ropeAngles(config, grid);
  const numRef = angles.length / (grid[0] + 1);
  const [video, ref] = [angles.subarray(0, -numRef), angles.subarray(-numRef)];
  return new Map([
    ["rope.cos", video.map(Math.cos)],
    ["rope.sin", video.map(Math.sin)],
    ["ref_rope.cos", ref.map(Math.cos)],
    ["ref_rope.sin", ref.map(Math.sin)],
  ]);
}

/** Everything inside the denoiser that a fixture may hold, by the fixture's names. */
function namedValues({ velocity, embedded, blocks, headTokens }: WanDiTResult): Map<string, Value> {
  const { video, ref, time, patches, context, grid } = embedded;
  const [F, H, W] = grid;
  const flat = (x: Value): Value => reshape(x, [x.dim(0), -1]);
  const asConv = (x: Value, frames: number): Value =>
    rearrange(x, "B (F H W) D -> B D F H W", { F: frames, H, W });
  const values = new Map<string, Value>([
    ["output", velocity],
    ["head_tokens", headTokens],
    ["tokens_in", video.x],
    ["ref_tokens_in", ref.x],
    ["patch_embed_conv", asConv(patches.video, F)],
    ["ref_patch_embed_conv", asConv(ref.x, 1)],
    ["t_embed", time.video],
    ["ref_t_embed", time.ref],
    ["t_mod", flat(video.time)],
    ["ref_t_mod", flat(ref.time)],
    ["context_full", concat([...(context.image ? [context.image] : []), context.text], 1)],
  ]);
  if (patches.hand) values.set("hand_patch_embed_conv", asConv(patches.hand, F));
  blocks.forEach((block, i) => {
    values.set(`block${i}.x`, block.video.x);
    values.set(`block${i}.ref`, block.ref.x);
    values.set(`block${i}.self_attn.x`, block.selfAttention.video);
    values.set(`block${i}.self_attn.ref`, block.selfAttention.ref);
    values.set(`block${i}.cross_attn`, block.crossAttention.out);
    values.set(`block${i}.ffn.x`, block.ffn.video);
    values.set(`block${i}.ffn.ref`, block.ffn.ref);
  });
  return values;
}
