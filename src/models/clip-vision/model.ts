// Shapes: B batch, S image side, p patch side, L = 1 + (S/p)² tokens, D width
import {
  type Scope,
  type Value,
  add,
  attention,
  concat,
  expand,
  gelu,
  linear,
  rearrange,
  reshape,
  split,
} from "../../graph/index.ts";
import { dense } from "../layers/dense.ts";
import { affineLayerNorm } from "../layers/norm.ts";
import { type ClipVisionConfig, numImageTokens } from "./config.ts";

/** Image features and what led to them. */
export interface ClipVisionResult {
  /** Output of the last but one block, without a final norm, [B, L, D]. */
  readonly output: Value;
  /** [B, L - 1, D], row by row */
  readonly patches: Value;
  /** What enters the first block, [B, L, D]. */
  readonly embedding: Value;
  /** Output of each block that runs, [B, L, D]. */
  readonly blocks: readonly Value[];
}

/**
 * The vision tower inside any graph.
 * @param pixels normalised images [B, 3, S, S], see `clipPixels`
 */
export function clipVision(s: Scope, config: ClipVisionConfig, pixels: Value): ClipVisionResult {
  const { dim, patchSize, numLayers, eps } = config;
  const kernel = s.in("patch_embedding").param("weight", [dim, 3, patchSize, patchSize]);
  const pieces = rearrange(pixels, "B C (H p) (W q) -> B (H W) (C p q)", { p: patchSize, q: patchSize });
  const patches = linear(pieces, reshape(kernel, [dim, -1]));
  const classToken = expand(s.param("cls_embedding", [1, 1, dim]), [pixels.dim(0), 1, dim]);
  const positions = s.param("pos_embedding", [1, numImageTokens(config), dim]);
  const embedding = affineLayerNorm(s.in("pre_norm"), add(concat([classToken, patches], 1), positions), eps);
  const blocks: Value[] = [];
  for (let i = 0; i < numLayers - 1; i++) {
    blocks.push(visionBlock(s.in("transformer").in(i), config, blocks.at(-1) ?? embedding));
  }
  return { output: blocks.at(-1) ?? embedding, patches, embedding, blocks };
}

/** Both branches are residual, on layer-normed input. */
function visionBlock(s: Scope, { dim, numHeads, ffnDim, eps }: ClipVisionConfig, x: Value): Value {
  const attn = s.in("attn");
  const qkv = dense(attn.in("to_qkv"), affineLayerNorm(s.in("norm1"), x, eps), 3 * dim);
  const [q, k, v] = split(qkv, 2, [dim, dim, dim]) as [Value, Value, Value];
  const attended = add(x, dense(attn.in("proj"), attention(q, k, v, numHeads), dim));
  const mlp = s.in("mlp");
  const hidden = gelu(dense(mlp.in(0), affineLayerNorm(s.in("norm2"), attended, eps), ffnDim), "none");
  return add(attended, dense(mlp.in(2), hidden, dim));
}
