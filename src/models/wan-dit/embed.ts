// Shapes: B batch, [f, h, w] latent frames, rows and columns, L video tokens, R reference tokens, M text tokens,
// N image tokens, D width, G modulation groups: B, or B·f with one timestep per latent frame.
import {
  type Scope,
  type Value,
  add,
  concat,
  gelu,
  linear,
  reshape,
  silu,
  slice,
} from "../../graph/index.ts";
import { invariant } from "../../tensor/errors.ts";
import { zeros } from "../../tensor/tensor.ts";
import { dense } from "../layers/dense.ts";
import { affineLayerNorm } from "../layers/norm.ts";
import { patchEmbed } from "../layers/patch.ts";
import { timestepSinusoid } from "../layers/timestep.ts";
import { type Context } from "./attention.ts";
import { type Streams } from "./block.ts";
import { type WanDiTConfig } from "./config.ts";
import { type TokenGrid } from "./rope.ts";

/** Everything the denoiser reads. All latents are normalised. */
export interface WanDiTInputs {
  /** Noisy latents [B, 16, f, h, w]. */
  readonly latents: Value;
  /** [mask (4) | pose latents (16)], [B, 20, f, h, w]; mask 0 = generate, 1 = keep. */
  readonly cond: Value;
  /** Hand-normal latents [B, 16, f, h, w]; null when the model takes none. */
  readonly hand: Value | null;
  /** Reference image latents [B, 16, 1, h, w]. */
  readonly ref: Value;
  /** 0-1000: [B], or [B, f] for one timestep per latent frame. */
  readonly timestep: Value;
  /** Text encoder output [B, M, textDim], zero past the prompt's end. */
  readonly context: Value;
  /** CLIP vision output [B, N, imageDim]; null for a model without image cross-attention. */
  readonly clipFeature: Value | null;
}

/** What the blocks and the head need, and the parts it was made of. */
export interface Embedded extends Streams {
  readonly context: Context;
  /** Time embeddings of the video [G, D] and of the reference, at timestep 0, [1, D]. */
  readonly time: { readonly video: Value; readonly ref: Value };
  readonly grid: TokenGrid;
  /** The patch embeddings that add up to the video tokens, [B, L, D]. */
  readonly patches: { readonly video: Value; readonly hand: Value | null };
}

/** Turns latents, timestep, text and image features into tokens of width D. */
export function embed(s: Scope, config: WanDiTConfig, inputs: WanDiTInputs): Embedded {
  const { dim, patchSize } = config;
  const { latents, cond, ref } = inputs;
  invariant(
    latents.dim(1) + cond.dim(1) === config.inDim,
    `latents and conditions have ${latents.dim(1)} + ${cond.dim(1)} channels; the model takes ${config.inDim}`,
  );
  const video = patchEmbed(s.in("patch_embedding"), concat([latents, cond], 1), dim, patchSize);
  const hand = handEmbed(s.in("hand_patch_embedding"), config, inputs.hand);
  const time = timeEmbed(s, config, inputs.timestep);
  return {
    video: { x: hand ? add(video, hand) : video, time: time.modulation.video },
    ref: { x: patchEmbed(s.in("ref_patch_embedding"), ref, dim, patchSize), time: time.modulation.ref },
    context: {
      text: textEmbed(s.in("text_embedding"), config, inputs.context),
      image: imageEmbed(s.in("img_emb").in("proj"), config, inputs.clipFeature),
    },
    time: time.embedding,
    grid: [2, 3, 4].map((axis, i) => latents.dim(axis) / patchSize[i]!) as unknown as TokenGrid,
    patches: { video, hand },
  };
}

function handEmbed(s: Scope, { hand: kind, dim, patchSize }: WanDiTConfig, hand: Value | null): Value | null {
  invariant((kind === "none") === (hand === null), `hand latents given to a model with hand: "${kind}"`);
  if (hand === null) return null;
  if (kind === "conv") return patchEmbed(s, hand, dim, patchSize);
  const patches = patchEmbed(s.in(0), hand, dim, patchSize);
  const projection = s.in(1);
  const weight = projection.param("weight", [dim, dim, 1, 1, 1]);
  return linear(patches, reshape(weight, [dim, dim]), projection.param("bias", [dim]));
}

interface Time {
  readonly embedding: { readonly video: Value; readonly ref: Value };
  readonly modulation: { readonly video: Value; readonly ref: Value };
}

/** One pass of the time MLP over the video's timesteps and the reference's, which is always 0. */
function timeEmbed(s: Scope, { dim, freqDim }: WanDiTConfig, timestep: Value): Time {
  const numGroups = timestep.shape.reduce((n, size) => n * size, 1);
  const zero = timestep.graph.constant(zeros([1], timestep.graph.dtype));
  const sinusoid = timestepSinusoid(concat([reshape(timestep, [numGroups]), zero], 0), freqDim);
  const hidden = silu(dense(s.in("time_embedding").in(0), sinusoid, dim));
  const embedding = dense(s.in("time_embedding").in(2), hidden, dim);
  const projected = dense(s.in("time_projection").in(1), silu(embedding), 6 * dim);
  const modulation = reshape(projected, [numGroups + 1, 6, dim]);
  const parts = (x: Value): { video: Value; ref: Value } => ({
    video: slice(x, 0, 0, numGroups),
    ref: slice(x, 0, numGroups),
  });
  return { embedding: parts(embedding), modulation: parts(modulation) };
}

function textEmbed(s: Scope, { dim }: WanDiTConfig, context: Value): Value {
  return dense(s.in(2), gelu(dense(s.in(0), context, dim), "tanh"), dim);
}

/** Epsilon of the image projection's norms, which differs from that of the blocks. */
const IMAGE_EPS = 1e-5;

function imageEmbed(s: Scope, { dim, imageDim }: WanDiTConfig, clipFeature: Value | null): Value | null {
  invariant(
    (imageDim === null) === (clipFeature === null),
    `image features given to a model with imageDim ${imageDim}`,
  );
  if (imageDim === null || clipFeature === null) return null;
  const normed = affineLayerNorm(s.in(0), clipFeature, IMAGE_EPS);
  const projected = dense(s.in(3), gelu(dense(s.in(1), normed, imageDim), "none"), dim);
  return affineLayerNorm(s.in(4), projected, IMAGE_EPS);
}
