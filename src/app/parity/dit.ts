/** The denoiser against the published one: velocity of every case, and all intermediates the fixture holds. */
import { join } from "node:path";
import { Graph, type Value, concat, rearrange, reshape, slice } from "../../graph/index.ts";
import { type WanDiTConfig } from "../../models/wan-dit/config.ts";
import { type WanDiTResult, wanDiT } from "../../models/wan-dit/model.ts";
import { type Checkpoint, openSafetensors } from "../../runtime/safetensors.ts";
import {
  type DitFeeds,
  declareCase,
  ditConfigSchema,
  modelSchema,
  prepare,
  readCaseInputs,
  readParams,
  wanDiTConfig,
} from "./dit-fixture.ts";
import { type ParityCheck, type ParityRow, compare, parityRow, readConfig } from "./rows.ts";

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
  const declared = declareCase(graph, config, feeds);
  const values = namedValues(wanDiT(graph.scope(), config, declared));

  const wanted = [...golden.tensors.keys()].filter((key) => key.startsWith(`${name}.`));
  const known = wanted.filter((key) => values.has(key.slice(name.length + 1)));
  for (const key of known) graph.output(key, values.get(key.slice(name.length + 1))!);

  const weights = await openSafetensors(join(dir, "weights.safetensors"));
  const handConv =
    config.hand === "conv" ? await openSafetensors(join(dir, "weights_handconv.safetensors")) : weights;
  const params = await readParams(graph, (key) => (handConv.tensors.has(key) ? handConv : weights));
  const engine = await prepare(graph, params);
  const fed = Object.entries(feeds).filter(([key]) => graph.inputs.has(key));
  const results = await engine.run(Object.fromEntries(fed));
  await engine.release();

  const rows: ParityRow[] = [];
  for (const key of wanted) {
    const result = results[key];
    const measure = key.includes("rope.") ? "absolute" : "relative";
    const tolerance = key.includes("rope.") ? ROPE_TOLERANCE : TOLERANCE;
    rows.push(
      result
        ? compare(key, result, await golden.readTensor(key), measure, tolerance)
        : parityRow(`${key} (unknown tensor)`, Infinity, tolerance),
    );
  }
  return rows;
}

/** Everything inside the denoiser that a fixture may hold, by the fixture's names. */
function namedValues({ velocity, embedded, rope, blocks, headTokens }: WanDiTResult): Map<string, Value> {
  const { video, ref, time, patches, context, grid } = embedded;
  const [F, H, W] = grid;
  const numVideo = video.x.dim(1);
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
    ["rope.cos", slice(rope.cos, 0, 0, numVideo)],
    ["rope.sin", slice(rope.sin, 0, 0, numVideo)],
    ["ref_rope.cos", slice(rope.cos, 0, numVideo)],
    ["ref_rope.sin", slice(rope.sin, 0, numVideo)],
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
