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
  const B = clips.length;
  const [C, h, w] = [size.channels, size.height, size.width];
  const plane = h * w;
  const volume = C * latentFrames * plane;
  const video = [B, C, latentFrames, h, w];
  const condChannels = MASK_CHANNELS + C;
  const latents = new Float32Array(B * volume);
  const target = new Float32Array(B * volume);
  const hand = new Float32Array(B * volume);
  const cond = new Float32Array(B * condChannels * latentFrames * plane);
  const ref = new Float32Array(B * C * plane);
  const weight = new Float32Array(B * latentFrames * plane);
  const timestep = new Float32Array(B);
  const tokens = new Int32Array(B * clips[0]!.tokens.length);
  const image = new Float32Array(B * clips[0]!.image.length);
  const numFrames = 1 + MASK_CHANNELS * (latentFrames - 1);
  const { data: mask } = keepMask(numFrames, sampling.headFrames, sampling.tailFrames, h, w);
  const levelAt = noiseLevels(sampling.shift, sampling.timestepWeighting);
  const black = blackVideo(absent, latentFrames, size);

  clips.forEach((clip, b) => {
    const level = levelAt(random.uniform());
    const { sigma } = level;
    timestep[b] = 1000 * sigma;
    const data = head(clip.video, C, latentFrames, plane);
    const noise = random.normals(volume);
    latents.set(addNoise(data, noise, sigma), b * volume);
    target.set(velocityTarget(data, noise), b * volume);
    const noPose = random.chance(sampling.dropPose);
    const noHands = noPose || random.chance(sampling.dropHands);
    const pose = noPose ? black : head(clip.pose, C, latentFrames, plane);
    cond.set(mask, b * condChannels * latentFrames * plane);
    cond.set(pose, (b * condChannels + MASK_CHANNELS) * latentFrames * plane);
    hand.set(noHands ? black : head(clip.hand, C, latentFrames, plane), b * volume);
    ref.set(random.chance(sampling.dropReference) ? absent.blackFirst : clip.reference, b * C * plane);
    tokens.set(random.chance(sampling.dropText) ? absent.emptyPrompt : clip.tokens, b * clip.tokens.length);
    image.set(clip.image, b * clip.image.length);
    weight.set(
      errorWeights(clip, latentFrames * plane, sampling).map((x) => level.weight * x),
      b * latentFrames * plane,
    );
  });

  return {
    latents: float32(latents, video),
    target: float32(target, video),
    cond: float32(cond, [B, condChannels, latentFrames, h, w]),
    hand: float32(hand, video),
    ref: float32(ref, [B, C, 1, h, w]),
    weight: float32(weight, [B, 1, latentFrames, h, w]),
    timestep: float32(timestep),
    tokens: tensor("int32", [B, clips[0]!.tokens.length], tokens),
    image: float32(image, [
      B,
      3,
      Math.sqrt(clips[0]!.image.length / 3),
      Math.sqrt(clips[0]!.image.length / 3),
    ]),
  };
}

/** The first latent frames of [C, f, plane], as a dense array. */
function head(source: Float32Array, channels: number, latentFrames: number, plane: number): Float32Array {
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
