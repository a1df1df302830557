/** The passes of the denoiser that the KV-sharing check runs: one graph for each way of sharing. */
import { join, resolve } from "node:path";
import { z } from "zod";
import { Graph, type Value } from "../../graph/index.ts";
import { declareInputs } from "../../models/wan-dit/build.ts";
import { type WanDiTConfig } from "../../models/wan-dit/config.ts";
import { type KvSharing, SUBJECT_TOKENS } from "../../models/wan-dit/kv-sharing.ts";
import { type WanDiTResult, wanDiT } from "../../models/wan-dit/model.ts";
import { type Engine } from "../../runtime/engine.ts";
import { type Checkpoint, openSafetensors } from "../../runtime/safetensors.ts";
import { type Tensor, float32 } from "../../tensor/tensor.ts";
import { modelSchema, prepare, readParams, wanDiTConfig } from "./dit-fixture.ts";
import { readConfig } from "./rows.ts";

const block = z.number().int().nonnegative();

const configSchema = z
  .object({
    model_config: modelSchema,
    /** Path from the fixture's folder. */
    weights: z.string(),
    /** "path : tensor name (remark)". */
    clip_feature: z.string().regex(/^\S+ : \S+/),
    num_inference_steps: z.number().int().positive(),
    cfg_scale: z.number(),
    kvshare_steps: z.array(block),
    kvshare_blocks: z.array(block),
    max_block_idx: block,
    token_indices: z.array(block),
    scheduler: z.object({ shift: z.number(), sigma_min: z.number() }),
    variants: z.record(z.string(), z.string()),
  })
  .transform((config) => ({
    model: config.model_config,
    weights: config.weights,
    clipFeature: config.clip_feature.split(/ : | /, 2) as [path: string, tensor: string],
    numSteps: config.num_inference_steps,
    guidanceScale: config.cfg_scale,
    sharedSteps: config.kvshare_steps,
    sharedBlocks: config.kvshare_blocks,
    maxMapBlock: config.max_block_idx,
    subjectTokens: config.token_indices,
    shift: config.scheduler.shift,
    sigmaMin: config.scheduler.sigma_min,
    variants: Object.keys(config.variants),
  }));

type Feeds = Record<string, Tensor>;

/** The fixture, read and put into our terms. */
export interface KvFixture {
  readonly config: z.infer<typeof configSchema>;
  readonly architecture: WanDiTConfig;
  readonly weights: Checkpoint;
  readonly inputs: {
    readonly noise: Tensor<"float32">;
    /** Feeds of the segments and of the passes, by input name. */
    readonly anchor: Feeds;
    readonly base: Feeds;
    readonly positive: Feeds;
    readonly negative: Feeds;
  };
}

export async function openKvFixture(dir: string): Promise<KvFixture> {
  const config = await readConfig(dir, configSchema);
  const inputs = await openSafetensors(join(dir, "inputs.safetensors"));
  const [clipPath, clipTensor] = config.clipFeature;
  const clipFeature = await (await openSafetensors(resolve(dir, clipPath))).readFloat32(clipTensor);
  const segment = async (name: "anchor" | "base"): Promise<Feeds> => ({
    cond: await inputs.readFloat32(`${name}.cond_latents`),
    hand: await inputs.readFloat32(`${name}.hand_latents`),
    ref: await inputs.readFloat32("ref_latents"),
    clipFeature,
  });
  const context = await inputs.readFloat32("context_pos");
  const subjectTokens = new Float32Array(context.shape[1]!);
  for (const token of config.subjectTokens) subjectTokens[token] = 1;
  return {
    config,
    architecture: wanDiTConfig(config.model, clipFeature.shape.at(-1)!),
    weights: await openSafetensors(resolve(dir, config.weights)),
    inputs: {
      noise: await inputs.readFloat32("noise"),
      anchor: await segment("anchor"),
      base: await segment("base"),
      positive: { context, [SUBJECT_TOKENS]: float32(subjectTokens) },
      negative: { context: await inputs.readFloat32("context_neg") },
    },
  };
}

/** Intermediates by name: tokens "block2.x", …; maps "block2.map", "block2.thr", …. */
export interface Observed {
  readonly tokens: ReadonlyMap<string, Tensor>;
  readonly maps: ReadonlyMap<string, Tensor>;
}

interface Pass {
  readonly engine: Engine;
  readonly tokens: readonly string[];
  readonly maps: readonly string[];
}

/** Builds each pass when it is first run and keeps it. */
export class Passes {
  private readonly passes = new Map<string, Pass>();

  constructor(private readonly fixture: KvFixture) {}

  async run(
    kv: KvSharing | null,
    branch: KvSharing["branch"],
    feeds: Feeds,
  ): Promise<{ outputs: Feeds; observed: Observed }> {
    const key = JSON.stringify(kv);
    let pass = this.passes.get(key);
    if (!pass) this.passes.set(key, (pass = await this.build(kv)));
    const all: Feeds = { ...feeds, ...this.fixture.inputs[branch] };
    const wanted = pass.engine.inputs.filter(({ name }) => all[name]).map(({ name }) => [name, all[name]!]);
    const outputs = await pass.engine.run(Object.fromEntries(wanted));
    const pick = (names: readonly string[]): Map<string, Tensor> =>
      new Map(names.map((name) => [name, outputs[name]!]));
    return { outputs, observed: { tokens: pick(pass.tokens), maps: pick(pass.maps) } };
  }

  async release(): Promise<void> {
    for (const { engine } of this.passes.values()) await engine.release();
    this.passes.clear();
  }

  private async build(kv: KvSharing | null): Promise<Pass> {
    const { architecture, inputs, weights } = this.fixture;
    const [, , latentFrames, latentHeight, latentWidth] = inputs.noise.shape as [number, ...number[]];
    const graph = new Graph();
    const declared = declareInputs(graph, architecture, {
      latentFrames: latentFrames!,
      latentHeight: latentHeight!,
      latentWidth: latentWidth!,
      textTokens: inputs.positive["context"]!.shape[1]!,
      imageTokens: inputs.base["clipFeature"]!.shape[1]!,
    });
    const result = wanDiT(graph.scope(), architecture, declared, kv);
    graph.output("velocity", result.velocity);
    const declare = (values: Map<string, Value>): string[] => {
      for (const [name, value] of values) graph.output(name, value);
      return [...values.keys()];
    };
    const names = { tokens: declare(blockValues(result)), maps: declare(mapValues(result)) };
    const engine = await prepare(graph, await readParams(graph, () => weights));
    return { engine, ...names };
  }
}

function blockValues({ blocks }: WanDiTResult): Map<string, Value> {
  const values = new Map<string, Value>();
  blocks.forEach(({ video, ref, selfAttention, crossAttention }, i) => {
    values.set(`block${i}.x`, video.x);
    values.set(`block${i}.ref`, ref.x);
    values.set(`block${i}.self_k`, selfAttention.k);
    values.set(`block${i}.self_v`, selfAttention.v);
    values.set(`block${i}.cross_q`, crossAttention.q);
    values.set(`block${i}.cross_k`, crossAttention.textK);
  });
  return values;
}

function mapValues({ sharing }: WanDiTResult): Map<string, Value> {
  const values = new Map<string, Value>();
  sharing?.maps?.maps.forEach(({ logits, map }, i) => {
    values.set(`block${i}.logits`, logits);
    values.set(`block${i}.map`, map);
  });
  for (const [i, { mean, threshold, mask }] of sharing?.masks ?? []) {
    values.set(`block${i}.mean`, mean);
    values.set(`block${i}.thr`, threshold);
    values.set(`block${i}.mask`, mask);
  }
  return values;
}
