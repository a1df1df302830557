/** The text encoder against the published one: every case with all intermediates, and the bucket table. */
import { join } from "node:path";
import { z } from "zod";
import { Graph, type Value } from "../../graph/index.ts";
import { type Umt5Config } from "../../models/umt5/config.ts";
import { type Umt5Result, umt5Encoder, zeroPadding } from "../../models/umt5/model.ts";
import { relativePositionBucket } from "../../models/umt5/relative-position.ts";
import { type Checkpoint, openSafetensors } from "../../runtime/safetensors.ts";
import { int64 } from "../../tensor/tensor.ts";
import { compareNamedValues } from "./named-values.ts";
import { type ParityCheck, type ParityRow, compare, readConfig } from "./rows.ts";

const TOLERANCE = 2e-5;

const size = z.number().int().positive();

const configSchema = z.object({
  model_config: z.object({
    vocab: size,
    dim: size,
    dim_attn: size,
    dim_ffn: size,
    num_heads: size,
    num_layers: size,
    num_buckets: size,
    shared_pos: z.literal(false),
  }),
  cases: z.record(z.string(), z.unknown()),
  norm_eps: z.number(),
  max_dist: size,
  attention_scale: z.literal(1),
});

export const umt5Check: ParityCheck = {
  folder: "umt5",
  async run(dir) {
    const { model_config: model, cases, norm_eps, max_dist } = await readConfig(dir, configSchema);
    const architecture: Umt5Config = {
      vocabSize: model.vocab,
      dim: model.dim,
      attentionDim: model.dim_attn,
      numHeads: model.num_heads,
      ffnDim: model.dim_ffn,
      numLayers: model.num_layers,
      numBuckets: model.num_buckets,
      maxDistance: max_dist,
      eps: norm_eps,
    };
    const golden = await openSafetensors(join(dir, "outputs.safetensors"));
    const rows = [await checkBuckets(architecture, golden)];
    for (const name of Object.keys(cases)) rows.push(...(await checkCase(dir, name, architecture, golden)));
    return rows;
  },
};

async function checkBuckets(config: Umt5Config, golden: Checkpoint): Promise<ParityRow> {
  const positions = Array.from((await golden.readTensor("bucket.rel_pos")).data as BigInt64Array, Number);
  const buckets = positions.map((position) => relativePositionBucket(position, config));
  return compare("bucket.index", int64(buckets), await golden.readTensor("bucket.index"), "unequal", 0);
}

async function checkCase(
  dir: string,
  name: string,
  config: Umt5Config,
  golden: Checkpoint,
): Promise<ParityRow[]> {
  const inputs = await openSafetensors(join(dir, "inputs.safetensors"));
  const weights = await openSafetensors(join(dir, "weights.safetensors"));
  const feeds = {
    ids: await inputs.readTensor(`${name}.ids`),
    mask: await inputs.readTensor(`${name}.mask`),
  };
  const graph = new Graph();
  const ids = graph.input("ids", feeds.ids.shape, { dtype: "int64" });
  const mask = graph.input("mask", feeds.mask.shape, { dtype: "int64" });
  const values = namedValues(umt5Encoder(graph.scope(), config, ids, mask), mask);

  return compareNamedValues(name, golden, { graph, values, feeds, weights: [weights] }, TOLERANCE);
}

/** Everything inside the encoder that a fixture may hold, by the fixture's names. */
function namedValues({ output, embedding, blocks }: Umt5Result, mask: Value): Map<string, Value> {
  const values = new Map<string, Value>([
    ["output", output],
    ["prompt_emb", zeroPadding(output, mask)],
    ["embed", embedding],
  ]);
  blocks.forEach((block, i) => {
    values.set(`block${i}`, block.x);
    values.set(`block${i}.attn`, block.attention);
    values.set(`block${i}.ffn`, block.ffn);
    values.set(`block${i}.pos_bias`, block.positionBias);
  });
  return values;
}
