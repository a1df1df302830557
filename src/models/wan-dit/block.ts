// Shapes: B batch, L video tokens, R reference tokens, D width, G modulation groups (layers/modulation.ts).
import { type Scope, type Value, add, concat, gelu, split } from "../../graph/index.ts";
import { dense } from "../layers/dense.ts";
import { type Modulation, gatedResidual, modulatedNorm, modulationVectors } from "../layers/modulation.ts";
import { affineLayerNorm } from "../layers/norm.ts";
import {
  type Context,
  type CrossAttention,
  type SelfAttention,
  crossAttention,
  selfAttention,
} from "./attention.ts";
import { type WanDiTConfig } from "./config.ts";
import { type Rope } from "./rope.ts";
import { type SharedKeys } from "./shared-attention.ts";

/** Tokens with the time vectors that modulate them: video tokens at t, clean reference tokens at 0. */
export interface Stream {
  /** [B, L or R, D] */
  readonly x: Value;
  /** [G, 6, D] */
  readonly time: Value;
}

/** The two streams that every block reads and writes. */
export interface Streams {
  readonly video: Stream;
  readonly ref: Stream;
}

export interface BlockResult extends Streams {
  readonly selfAttention: SelfAttention;
  readonly crossAttention: CrossAttention;
  /** Outputs of the feed-forward layers before their gate. */
  readonly ffn: { readonly video: Value; readonly ref: Value };
}

/**
 * One DiT block. Identity enters as extra tokens in self-attention; prompt and CLIP enter by cross-attention,
 * which only the video tokens have. All weights, and the modulation table, serve both streams.
 */
export function ditBlock(
  s: Scope,
  config: WanDiTConfig,
  { video, ref }: Streams,
  context: Context,
  rope: Rope,
  shared: SharedKeys | null = null,
): BlockResult {
  const { dim, eps } = config;
  const table = s.param("modulation", [1, 6, dim]);
  const m = blockModulation(table, video.time);
  const r = blockModulation(table, ref.time);

  const self = selfAttention(
    s.in("self_attn"),
    config,
    modulatedNorm(video.x, m.msa.shift, m.msa.scale, eps),
    modulatedNorm(ref.x, r.msa.shift, r.msa.scale, eps),
    rope,
    shared,
  );
  let x = gatedResidual(video.x, m.msa.gate, self.video);
  let y = gatedResidual(ref.x, r.msa.gate, self.ref);

  const cross = crossAttention(s.in("cross_attn"), config, affineLayerNorm(s.in("norm3"), x, eps), context);
  x = add(x, cross.out);

  const normed = [
    modulatedNorm(x, m.mlp.shift, m.mlp.scale, eps),
    modulatedNorm(y, r.mlp.shift, r.mlp.scale, eps),
  ];
  const out = feedForward(s.in("ffn"), config, concat(normed, 1));
  const [videoOut, refOut] = split(out, 1, [x.dim(1), y.dim(1)]) as [Value, Value];
  x = gatedResidual(x, m.mlp.gate, videoOut);
  y = gatedResidual(y, r.mlp.gate, refOut);
  return {
    video: { ...video, x },
    ref: { ...ref, x: y },
    selfAttention: self,
    crossAttention: cross,
    ffn: { video: videoOut, ref: refOut },
  };
}

function blockModulation(table: Value, time: Value): { msa: Modulation; mlp: Modulation } {
  const [a, b, c, d, e, f] = modulationVectors(table, time) as [Value, Value, Value, Value, Value, Value];
  return { msa: { shift: a, scale: b, gate: c }, mlp: { shift: d, scale: e, gate: f } };
}

function feedForward(s: Scope, config: WanDiTConfig, x: Value): Value {
  return dense(s.in(2), gelu(dense(s.in(0), x, config.ffnDim), "tanh"), config.dim);
}
