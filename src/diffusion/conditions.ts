// Shapes: T frames, [f, h, w] latent frames, rows and columns; T = 1 + 4 (f - 1)
import { type Image } from "../media/pixels.ts";
import { numLatentFrames, temporalStride } from "../models/wan-vae/config.ts";
import { UserError, invariant } from "../tensor/errors.ts";
import { type Tensor, float32, zeros } from "../tensor/tensor.ts";
import { type VideoCodec } from "./latents.ts";

/** Frames of neighbouring segments that a segment keeps: its first ones and its last ones. */
export interface KeptFrames {
  readonly head: readonly Image[];
  readonly tail: readonly Image[];
}

/** Anchor and base segments keep nothing. */
export const NOTHING_KEPT: KeptFrames = { head: [], tail: [] };

/** What drives a segment, frame by frame. */
export interface DrivingVideos {
  readonly skeleton: readonly Image[];
  readonly handNormals: readonly Image[];
}

/** The denoiser's inputs of the same names. */
export interface SegmentConditions {
  /** [mask (4) | pose latents (16)], [1, 20, f, h, w] */
  readonly cond: Tensor<"float32">;
  /** Hand-normal latents [1, 16, f, h, w]. */
  readonly hand: Tensor<"float32">;
}

/**
 * Encodes what drives a segment. Kept frames take the place of skeleton and hand normals in pixel space, and the
 * mask marks them.
 * @throws UserError when numbers or sizes of frames do not fit together
 */
export async function encodeConditions(
  vae: VideoCodec,
  { skeleton, handNormals }: DrivingVideos,
  kept: KeptFrames = NOTHING_KEPT,
): Promise<SegmentConditions> {
  const numFrames = skeleton.length;
  numLatentFrames(vae.config, numFrames);
  if (handNormals.length !== numFrames) {
    throw new UserError(
      `${numFrames} skeleton frames and ${handNormals.length} hand-normal frames; expected equal numbers`,
    );
  }
  invariant(
    temporalStride(vae.config) === MASK_CHANNELS,
    "the mask has a channel per frame of a latent frame",
  );
  const pose = await vae.encode(pasteKeptFrames(skeleton, kept));
  const hand = await vae.encode(pasteKeptFrames(handNormals, kept));
  const mask = keepMask(numFrames, kept.head.length, kept.tail.length, pose.shape[3]!, pose.shape[4]!);
  return { cond: joinChannels(mask, pose), hand };
}

/** A video whose first and last frames are the kept ones. The given video stays as it is. */
export function pasteKeptFrames(video: readonly Image[], { head, tail }: KeptFrames): Image[] {
  checkKept(video.length, head.length, tail.length);
  return [...head, ...video.slice(head.length, video.length - tail.length), ...tail];
}

/** Frames per latent frame after the first, hence channels of the mask. */
const MASK_CHANNELS = 4;

/**
 * The mask of a segment, [1, 4, f, h, w]: 1 = frame is kept, 0 = frame is to be generated. Channel c of latent frame
 * j > 0 stands for frame 4j - 3 + c; all channels of latent frame 0 stand for frame 0.
 * @throws UserError when T is not 1 + 4k, or more frames are kept than there are
 */
export function keepMask(
  numFrames: number,
  headFrames: number,
  tailFrames: number,
  latentHeight: number,
  latentWidth: number,
): Tensor<"float32"> {
  const latentFrames = 1 + (numFrames - 1) / MASK_CHANNELS;
  if (!Number.isInteger(latentFrames) || numFrames < 1) {
    throw new UserError(`a segment of ${numFrames} frames; expected 1 plus a multiple of ${MASK_CHANNELS}`);
  }
  checkKept(numFrames, headFrames, tailFrames);
  const area = latentHeight * latentWidth;
  const mask = zeros([1, MASK_CHANNELS, latentFrames, latentHeight, latentWidth]);
  for (let channel = 0; channel < MASK_CHANNELS; channel++) {
    for (let j = 0; j < latentFrames; j++) {
      const frame = Math.max(0, MASK_CHANNELS * (j - 1) + 1 + channel);
      if (frame >= headFrames && frame < numFrames - tailFrames) continue;
      const at = (channel * latentFrames + j) * area;
      mask.data.fill(1, at, at + area);
    }
  }
  return mask;
}

function checkKept(numFrames: number, headFrames: number, tailFrames: number): void {
  if (headFrames + tailFrames > numFrames) {
    throw new UserError(
      `${headFrames} + ${tailFrames} kept frames do not fit into a segment of ${numFrames}; keep fewer`,
    );
  }
}

/** Two tensors [1, C, f, h, w], one channel after another. */
function joinChannels(a: Tensor<"float32">, b: Tensor<"float32">): Tensor<"float32"> {
  const data = new Float32Array(a.data.length + b.data.length);
  data.set(a.data);
  data.set(b.data, a.data.length);
  return float32(data, [1, a.shape[1]! + b.shape[1]!, ...a.shape.slice(2)]);
}
