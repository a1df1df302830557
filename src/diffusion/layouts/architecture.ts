/** Sizes of the networks of a published model, read from the shapes of their weights. */
import { type ClipVisionConfig, CLIP_VISION_PRESETS } from "../../models/clip-vision/config.ts";
import { type Umt5Config, UMT5_PRESETS } from "../../models/umt5/config.ts";
import { type WanDiTConfig, WAN_DIT_PRESETS } from "../../models/wan-dit/config.ts";
import { type WanVaeConfig, WAN_VAE } from "../../models/wan-vae/config.ts";
import { type Checkpoint } from "../../runtime/safetensors.ts";
import { quote } from "../../runtime/quote.ts";
import { UserError } from "../../tensor/errors.ts";
import { type PublishedConfig } from "./published-config.ts";

/** Widths of attention heads, the same in all published sizes. Shapes do not tell them. */
const HEAD_WIDTHS = { dit: 128, imageEncoder: 80 } as const;

/** @param config what stands beside the weights; goes before what all published models have in common */
export function ditConfig(weights: Checkpoint, config: PublishedConfig | null): WanDiTConfig {
  const [dim, inDim, ...patchSize] = shapeOf(weights, "patch_embedding.weight", 5);
  const [outVolume] = shapeOf(weights, "head.head.weight", 2);
  const isThere = (key: string): boolean => weights.tensors.has(key);
  return {
    ...WAN_DIT_PRESETS.wan14b,
    dim: dim!,
    inDim: inDim!,
    patchSize: patchSize as [number, number, number],
    outDim: outVolume! / patchSize.reduce((product, size) => product * size, 1),
    numHeads: config?.num_heads ?? Math.max(1, Math.round(dim! / HEAD_WIDTHS.dit)),
    ffnDim: shapeOf(weights, "blocks.0.ffn.0.weight", 2)[0]!,
    numLayers: countLayers(weights, /^blocks\.(\d{1,4})\./),
    textDim: shapeOf(weights, "text_embedding.0.weight", 2)[1]!,
    freqDim: shapeOf(weights, "time_embedding.0.weight", 2)[1]!,
    imageDim: isThere("img_emb.proj.1.weight") ? shapeOf(weights, "img_emb.proj.1.weight", 2)[1]! : null,
    eps: config?.eps ?? WAN_DIT_PRESETS.wan14b.eps,
    shiftRefPos: config?.shift_ref_pos ?? WAN_DIT_PRESETS.wan14b.shiftRefPos,
    hand: isThere("hand_patch_embedding.1.weight")
      ? "conv+proj"
      : isThere("hand_patch_embedding.weight")
        ? "conv"
        : "none",
  };
}

export function textEncoderConfig(weights: Checkpoint): Umt5Config {
  const [vocabSize, dim] = shapeOf(weights, "token_embedding.weight", 2);
  const [numBuckets, numHeads] = shapeOf(weights, "blocks.0.pos_embedding.embedding.weight", 2);
  return {
    ...UMT5_PRESETS.xxl,
    vocabSize: vocabSize!,
    dim: dim!,
    numBuckets: numBuckets!,
    numHeads: numHeads!,
    attentionDim: shapeOf(weights, "blocks.0.attn.q.weight", 2)[0]!,
    ffnDim: shapeOf(weights, "blocks.0.ffn.fc1.weight", 2)[0]!,
    numLayers: countLayers(weights, /^blocks\.(\d{1,4})\./),
  };
}

export function imageEncoderConfig(weights: Checkpoint): ClipVisionConfig {
  const [dim, , patchSize] = shapeOf(weights, "visual.patch_embedding.weight", 4);
  const [, numTokens] = shapeOf(weights, "visual.pos_embedding", 3);
  return {
    ...CLIP_VISION_PRESETS.vitH,
    dim: dim!,
    patchSize: patchSize!,
    imageSize: patchSize! * Math.round(Math.sqrt(numTokens! - 1)),
    numHeads: Math.max(1, Math.round(dim! / HEAD_WIDTHS.imageEncoder)),
    ffnDim: shapeOf(weights, "visual.transformer.0.mlp.0.weight", 2)[0]!,
    numLayers: countLayers(weights, /^visual\.transformer\.(\d{1,4})\./),
  };
}

/** The published structure; only the width differs. */
export function vaeConfig(weights: Checkpoint): WanVaeConfig {
  const { encoder, decoder } = WAN_VAE;
  const [encoderDim] = shapeOf(weights, "encoder.conv1.weight", 5);
  const [decoderDim] = shapeOf(weights, "decoder.head.0.gamma", 4);
  return {
    ...WAN_VAE,
    encoder: { ...encoder, dim: encoderDim! },
    decoder: { ...decoder, dim: decoderDim! },
  };
}

function shapeOf({ tensors, path }: Checkpoint, key: string, rank: number): readonly number[] {
  const shape = tensors.get(key)?.shape;
  if (shape?.length === rank) return shape;
  throw new UserError(
    shape === undefined
      ? `${path} lacks the weight ${quote(key)}`
      : `${path}: ${quote(key)} has shape [${shape.join(", ")}], expected ${rank} axes`,
  );
}

/** One more than the largest number. */
function countLayers({ tensors }: Checkpoint, pattern: RegExp): number {
  let count = 0;
  for (const key of tensors.keys()) {
    const match = pattern.exec(key);
    if (match) count = Math.max(count, Number(match[1]) + 1);
  }
  return count;
}
