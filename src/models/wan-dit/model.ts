// Shapes: B batch, [f, h, w] latent frames, rows and columns, L video tokens, D width, G modulation groups.
import { type Scope, type Value, reshape } from "../../graph/index.ts";
import { dense } from "../layers/dense.ts";
import { modulatedNorm, modulationVectors } from "../layers/modulation.ts";
import { unpatchify } from "../layers/patch.ts";
import { type Context } from "./attention.ts";
import { type BlockResult, type Streams, ditBlock } from "./block.ts";
import { type WanDiTConfig } from "./config.ts";
import { type Embedded, type WanDiTInputs, embed } from "./embed.ts";
import { type KvHook, type KvSharing, kvHook } from "./kv-sharing.ts";
import { type TokenGrid, ropeConstants } from "./rope.ts";

/** The velocity and what led to it. */
export interface WanDiTResult {
  /** Noise minus data, [B, 16, f, h, w]. */
  readonly velocity: Value;
  readonly embedded: Embedded;
  readonly blocks: readonly BlockResult[];
  /** [B, L, patch elements · 16] */
  readonly headTokens: Value;
  /** What KV-sharing made on the way; null without it. */
  readonly sharing: KvHook | null;
}

/**
 * The whole denoiser inside any graph: generation, or a training step that adds a loss and gradients.
 * @param kv adds the inputs and outputs of KV-sharing (see `kvHook`)
 */
export function wanDiT(
  s: Scope,
  config: WanDiTConfig,
  inputs: WanDiTInputs,
  kv: KvSharing | null = null,
): WanDiTResult {
  const embedded = embed(s, config, inputs);
  const layout = { grid: embedded.grid, textTokens: inputs.context.dim(1) };
  const sharing = kv ? kvHook(s.graph, config, kv, layout) : null;
  const blocks = ditBlocks(s.in("blocks"), config, embedded, embedded.context, embedded.grid, sharing);
  const tokens = (blocks.at(-1) ?? embedded).video.x;
  const headTokens = head(s.in("head"), config, tokens, embedded.time.video);
  const velocity = unpatchify(headTokens, embedded.grid, config.patchSize);
  return { velocity, embedded, blocks, headTokens, sharing };
}

/** Consecutive blocks of a model. */
export interface BlockRange {
  /** Number of the first block, by which keys are numbered; 0 also where one graph serves ranges anywhere. */
  readonly first: number;
  readonly length: number;
}

/**
 * Consecutive blocks, one after the other.
 * @param range all blocks of the model by default
 */
export function ditBlocks(
  s: Scope,
  config: WanDiTConfig,
  start: Streams,
  context: Context,
  grid: TokenGrid,
  sharing: KvHook | null = null,
  range: BlockRange = { first: 0, length: config.numLayers },
): BlockResult[] {
  const rope = ropeConstants(s.graph, config, grid);
  const blocks: BlockResult[] = [];
  for (let i = range.first; i < range.first + range.length; i++) {
    const shared = sharing?.sharedKeys(i) ?? null;
    const block = ditBlock(s.in(i), config, blocks.at(-1) ?? start, context, rope, shared);
    sharing?.observe(i, block);
    blocks.push(block);
  }
  return blocks;
}

/** Video tokens [B, L, D] and their time embedding [G, D] -> patches of the velocity [B, L, patch elements · 16]. */
export function head(s: Scope, config: WanDiTConfig, tokens: Value, time: Value): Value {
  const { dim, outDim, patchSize, eps } = config;
  const table = s.param("modulation", [1, 2, dim]);
  const [shift, scale] = modulationVectors(table, reshape(time, [-1, 1, dim])) as [Value, Value];
  const out = outDim * patchSize.reduce((n, size) => n * size, 1);
  return dense(s.in("head"), modulatedNorm(tokens, shift, scale, eps), out);
}
