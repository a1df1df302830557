// Shapes: B batch, L video tokens, R reference tokens, T = L + R, M text tokens, N image tokens, D width.
import { type Scope, type Value, add, attention, concat, rotary, split } from "../../graph/index.ts";
import { dense } from "../layers/dense.ts";
import { affineRmsNorm } from "../layers/norm.ts";
import { type WanDiTConfig } from "./config.ts";
import { type Rope } from "./rope.ts";
import { type SharedKeys, sharedAttention } from "./shared-attention.ts";

/** What the video tokens read by cross-attention. */
export interface Context {
  /** [B, M, D]. Rows past the prompt's end take part as well: the model was trained that way. */
  readonly text: Value;
  /** [B, N, D], or null for a model without image cross-attention. */
  readonly image: Value | null;
}

export interface SelfAttention {
  /** After the output projection, [B, L, D] and [B, R, D]. */
  readonly video: Value;
  readonly ref: Value;
  /** Normed and rotated keys, and values, [B, T, D], reference tokens last. */
  readonly k: Value;
  readonly v: Value;
}

/** One attention over the concatenation of video and reference tokens (Eq. 2); weights serve both. */
export function selfAttention(
  s: Scope,
  config: WanDiTConfig,
  video: Value,
  ref: Value,
  rope: Rope,
  shared: SharedKeys | null,
): SelfAttention {
  const { dim, numHeads, eps } = config;
  const x = concat([video, ref], 1);
  const rotated = (name: "q" | "k"): Value =>
    rotary(affineRmsNorm(s.in(`norm_${name}`), dense(s.in(name), x, dim), eps), rope.cos, rope.sin, numHeads);
  const q = rotated("q");
  const k = rotated("k");
  const v = dense(s.in("v"), x, dim);
  const attended = shared ? sharedAttention(q, { k, v }, shared, numHeads) : attention(q, k, v, numHeads);
  // The output projection is linear per token, so choosing a branch before it pays one projection instead of two.
  const [videoOut, refOut] = split(dense(s.in("o"), attended, dim), 1, [video.dim(1), ref.dim(1)]);
  return { video: videoOut!, ref: refOut!, k, v };
}

export interface CrossAttention {
  /** After the output projection, [B, L, D]. */
  readonly out: Value;
  /** Normed queries of the video tokens [B, L, D] and keys of the text tokens [B, M, D]. */
  readonly q: Value;
  readonly textK: Value;
}

/** Two separate attentions with the same queries, over text and over image tokens; their results are added. */
export function crossAttention(s: Scope, config: WanDiTConfig, x: Value, context: Context): CrossAttention {
  const { dim, numHeads, eps } = config;
  const q = affineRmsNorm(s.in("norm_q"), dense(s.in("q"), x, dim), eps);
  const textK = affineRmsNorm(s.in("norm_k"), dense(s.in("k"), context.text, dim), eps);
  let attended = attention(q, textK, dense(s.in("v"), context.text, dim), numHeads);
  if (context.image) {
    const k = affineRmsNorm(s.in("norm_k_img"), dense(s.in("k_img"), context.image, dim), eps);
    attended = add(attended, attention(q, k, dense(s.in("v_img"), context.image, dim), numHeads));
  }
  return { out: dense(s.in("o"), attended, dim), q, textK };
}
