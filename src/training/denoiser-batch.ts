// Shapes: B batch, C latent channels, f latent frames, h w latent rows and columns, M text tokens, S image side

import { keepMask } from "../diffusion/conditions.ts";
import { velocityTarget } from "../diffusion/loss.ts";
import { addNoise } from "../diffusion/schedule.ts";
import { type Random } from "../tensor/random.ts";
import { type Tensor, float32, tensor } from "../tensor/tensor.ts";
import { type TrainingClip } from "./dataset.ts";
import { noiseLevels, type TimestepWeighting } from "./noise-level.ts";

/** What a step draws at random for each clip. Probabilities are per clip. */
export interface DenoiserSampling {
  /** Moves noise levels towards noise; see `noiseLevels`. */
  readonly shift: number;
  readonly timestepWeighting: TimestepWeighting;
  readonly dropReference: number;
  /** Skeleton and hand normals together, so that the model also learns to move freely. */
  readonly dropPose: number;
  /** Hand normals alone (paper, section S1.2: 0.1). */
  readonly dropHands: number;
  readonly dropText: number;
  /** Extra weight of the person's latent cells in the loss. */
  readonly personWeight: number;
  /** Extra weight of the cells that the face touches; see `faceCells`. */
  readonly faceWeight: number;
  /** Frames at either end that the mask keeps (phase 2); 0 in phase 1 and in the base. */
  readonly headFrames: number;
  readonly tailFrames: number;
}

/** What stands for a condition that is dropped. */
export interface AbsentConditions {
  /** Latents of a black picture, [C, h, w]: at the start of a video, and after it. */
  readonly blackFirst: Float32Array;
  readonly blackNext: Float32Array;
  /** Tokens of the empty prompt, [M]. */
  readonly emptyPrompt: Int32Array;
}

/** Sizes that all clips of a dataset share. */
export interface ClipSize {
  readonly channels: number;
  /** Rows and columns of the latents. */
  readonly height: number;
  readonly width: number;
  /** Side of the image encoder's input. */
  readonly imageSize: number;
}

/** A clip of a batch. */
export interface BatchClip extends TrainingClip {
  /** Cells of the face, 0 or 1, [f, h, w]; null where they weigh nothing. */
  readonly face: Uint8Array | null;
}

/** Frames per latent frame after the first, hence channels of the mask. */
const MASK_CHANNELS = 4;

/**
 * Feeds of one training step for the first `latentFrames` latent frames of each clip.
 * The causal VAE makes the beginning of a clip's latents equal to the latents of its beginning.
 */
export function denoiserBatch(
  clips: readonly BatchClip[],
  latentFrames: number,
  size: ClipSize,
  absent: AbsentConditions,
  sampling: DenoiserSampling,
  random: Random,
): Record<string, Tensor> {
  const [f, h, w] = [latentFrames, size.height, size.width];
  const { channels: C, imageSize: S } = size;
  const numFrames = 1 + MASK_CHANNELS * (f - 1);
  const { data: mask } = keepMask(numFrames, sampling.headFrames, sampling.tailFrames, h, w);
  const black = blackVideo(absent, f, size);
  const levelAt = noiseLevels(sampling.shift, sampling.timestepWeighting);
  const firstOf = (latents: Float32Array) => firstLatentFrames(latents, C, f, h * w);
  const samples = clips.map((clip) => {
    const { sigma, weight } = levelAt(random.uniform());
    const video = firstOf(clip.video);
    const noise = random.normals(video.length);
    const isAbsent = drawAbsent(sampling, random);
    return {
      latents: addNoise(video, noise, sigma),
      target: velocityTarget(video, noise),
      cond: joined([mask, isAbsent.pose ? black : firstOf(clip.pose)]),
      hand: isAbsent.hand ? black : firstOf(clip.hand),
      ref: isAbsent.reference ? absent.blackFirst : clip.reference,
      weight: errorWeights(clip, f * h * w, sampling).map((x) => weight * x),
      timestep: Float32Array.of(1000 * sigma),
      tokens: isAbsent.text ? absent.emptyPrompt : clip.tokens,
      image: clip.image,
    };
  });
  type Floats = Exclude<keyof (typeof samples)[number], "tokens">;
  const batch = (name: Floats, ...shape: number[]): Tensor =>
    float32(joined(samples.map((sample) => sample[name])), [clips.length, ...shape]);
  return {
    latents: batch("latents", C, f, h, w),
    target: batch("target", C, f, h, w),
    cond: batch("cond", MASK_CHANNELS + C, f, h, w),
    hand: batch("hand", C, f, h, w),
    ref: batch("ref", C, 1, h, w),
    weight: batch("weight", 1, f, h, w),
    timestep: batch("timestep"),
    tokens: tensor(
      "int32",
      [clips.length, absent.emptyPrompt.length],
      Int32Array.from(samples.flatMap(({ tokens }) => [...tokens])),
    ),
    image: batch("image", 3, S, S),
  };
}

/** Which conditions a clip loses. Without its skeleton it has no hands either. */
function drawAbsent(
  { dropPose, dropHands, dropReference, dropText }: DenoiserSampling,
  random: Random,
): Record<"pose" | "hand" | "reference" | "text", boolean> {
  const pose = random.chance(dropPose);
  const hand = pose || random.chance(dropHands);
  return { pose, hand, reference: random.chance(dropReference), text: random.chance(dropText) };
}

function joined(parts: readonly Float32Array[]): Float32Array<ArrayBuffer> {
  const whole = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** The first latent frames of a clip's latents [C, f, plane], as a dense array. */
export function firstLatentFrames(
  source: Float32Array,
  channels: number,
  latentFrames: number,
  plane: number,
): Float32Array {
  const stride = source.length / channels;
  const length = latentFrames * plane;
  if (stride === length) return source;
  const out = new Float32Array(channels * length);
  for (let c = 0; c < channels; c++) out.set(source.subarray(c * stride, c * stride + length), c * length);
  return out;
}

function blackVideo(
  { blackFirst, blackNext }: AbsentConditions,
  latentFrames: number,
  { channels, height, width }: ClipSize,
): Float32Array {
  const plane = height * width;
  const out = new Float32Array(channels * latentFrames * plane);
  for (let c = 0; c < channels; c++) {
    for (let t = 0; t < latentFrames; t++) {
      const frame = t === 0 ? blackFirst : blackNext;
      out.set(frame.subarray(c * plane, (c + 1) * plane), (c * latentFrames + t) * plane);
    }
  }
  return out;
}

/** Of the first cells of a clip: 1 + what person and face weigh more, scaled to a mean of 1. */
function errorWeights(
  { person, face }: BatchClip,
  numCells: number,
  { personWeight, faceWeight }: DenoiserSampling,
): Float32Array {
  const weights = Float32Array.from(
    { length: numCells },
    (_, i) => 1 + (personWeight * person[i]!) / 255 + faceWeight * (face?.[i] ?? 0),
  );
  const mean = weights.reduce((sum, x) => sum + x, 0) / weights.length;
  return weights.map((x) => x / mean);
}
