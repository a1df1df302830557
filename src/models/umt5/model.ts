// Shapes: B batch, L tokens, D width, H heads, K width of a head, N buckets
import {
  type Scope,
  type Value,
  add,
  cast,
  equal,
  gather,
  gelu,
  linear,
  matmul,
  mul,
  rearrange,
  reshape,
  softmax,
  where,
} from "../../graph/index.ts";
import { int64 } from "../../tensor/tensor.ts";
import { affineRmsNorm } from "../layers/norm.ts";
import { type Umt5Config } from "./config.ts";
import { relativePositionBuckets } from "./relative-position.ts";

/** A block's result and what led to it. */
export interface Umt5BlockResult {
  /** [B, L, D] */
  readonly x: Value;
  /** What attention and feed-forward network added, [B, L, D]. */
  readonly attention: Value;
  readonly ffn: Value;
  /** Relative position bias, [1, H, L (query), L (key)]. */
  readonly positionBias: Value;
}

/** Text features and what led to them. */
export interface Umt5Result {
  /** [B, L, D]. Padded positions are computed too; `zeroPadding` removes them. */
  readonly output: Value;
  /** [B, L, D] */
  readonly embedding: Value;
  readonly blocks: readonly Umt5BlockResult[];
}

/**
 * The encoder inside any graph.
 * @param ids token ids [B, L], int64 or int32
 * @param mask [B, L], 1 for tokens, 0 for padding; int64 or int32
 */
export function umt5Encoder(s: Scope, config: Umt5Config, ids: Value, mask: Value): Umt5Result {
  const { vocabSize, dim, numLayers, eps } = config;
  const embedding = gather(s.in("token_embedding").param("weight", [vocabSize, dim]), ids);
  const length = ids.dim(1);
  const buckets = s.graph.constant(int64(relativePositionBuckets(length, config), [length, length]));
  const isPadding = reshape(equal(mask, 0), [ids.dim(0), 1, 1, length]);
  const blocks: Umt5BlockResult[] = [];
  let x = embedding;
  for (let i = 0; i < numLayers; i++) {
    const block = encoderBlock(s.in("blocks").in(i), config, x, buckets, isPadding);
    blocks.push(block);
    x = block.x;
  }
  return { output: affineRmsNorm(s.in("norm"), x, eps), embedding, blocks };
}

/** Text features [B, L, D] with zeros in padded rows, as the denoiser takes them. */
export function zeroPadding(output: Value, mask: Value): Value {
  return mul(output, reshape(cast(mask, output.dtype), [...mask.shape, 1]));
}

/** Both branches are residual, on RMS-normed input. */
function encoderBlock(
  s: Scope,
  config: Umt5Config,
  x: Value,
  buckets: Value,
  isPadding: Value,
): Umt5BlockResult {
  const { numBuckets, numHeads, eps } = config;
  const table = s.in("pos_embedding").in("embedding").param("weight", [numBuckets, numHeads]);
  const positionBias = rearrange(gather(table, buckets), "L S H -> 1 H L S");
  const bias = where(isPadding, s.graph.scalar(LOWEST), positionBias);
  const attention = selfAttention(s.in("attn"), config, affineRmsNorm(s.in("norm1"), x, eps), bias);
  const attended = add(x, attention);
  const ffn = feedForward(s.in("ffn"), config, affineRmsNorm(s.in("norm2"), attended, eps));
  return { x: add(attended, ffn), attention, ffn, positionBias };
}

/** The lowest finite single: its softmax weight is 0, and a logit added to it stays finite. */
const LOWEST = -3.4028234663852886e38;

/** softmax(Q K^T + bias) V: T5 does not divide logits by sqrt(K). bias [B or 1, H, L, L]. */
function selfAttention(s: Scope, { dim, attentionDim, numHeads }: Umt5Config, x: Value, bias: Value): Value {
  const heads = (name: string, pattern: string): Value =>
    rearrange(project(s.in(name), x, attentionDim), pattern, { H: numHeads });
  const logits = matmul(heads("q", "B L (H K) -> B H L K"), heads("k", "B S (H K) -> B H K S"));
  const weights = softmax(add(logits, bias));
  const mixed = matmul(weights, heads("v", "B S (H K) -> B H S K"));
  return project(s.in("o"), rearrange(mixed, "B H L K -> B L (H K)"), dim);
}

/** GELU-gated linear unit. */
function feedForward(s: Scope, { dim, ffnDim }: Umt5Config, x: Value): Value {
  const gate = gelu(project(s.in("gate").in(0), x, ffnDim), "tanh");
  return project(s.in("fc2"), mul(project(s.in("fc1"), x, ffnDim), gate), dim);
}

/** x W^T; no linear layer of T5 has a bias. */
function project(s: Scope, x: Value, outDim: number): Value {
  return linear(x, s.param("weight", [outDim, x.dim(-1)]));
}
