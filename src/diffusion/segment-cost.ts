/** What it takes to make one segment, counted from shapes: nothing is run. */
import { buildClipVision } from "../models/clip-vision/build.ts";
import { type RunCost, runCost } from "../models/run-cost.ts";
import { buildUmt5 } from "../models/umt5/build.ts";
import { buildWanDiT } from "../models/wan-dit/build.ts";
import { countTokens, sharedKeyBytes } from "../models/wan-dit/cost.ts";
import { type KvSharing } from "../models/wan-dit/kv-sharing.ts";
import { MAP_BEYOND_BYTES } from "../runtime/shared-weights.ts";
import { type SharingSite } from "./denoiser.ts";
import { type SegmentSize, denoiserShape } from "./loaded-model.ts";
import { type ModelDescription } from "./model-folder.ts";
import { type VaeCost, vaeCost } from "./vae-cost.ts";

export interface SegmentCost {
  /** Tokens in self-attention (video, reference) and in cross-attention (text, image). */
  readonly tokens: {
    readonly video: number;
    readonly ref: number;
    readonly text: number;
    readonly image: number;
  };
  /** Encoding of skeleton and hand normals. */
  readonly encodeFlops: number;
  readonly decodeFlops: number;
  /** One evaluation of the denoiser, and one that shares the anchor's keys; equal where nothing is shared. */
  readonly predictFlops: number;
  readonly shareFlops: number;
  /** Weights of denoiser and VAE held as float32; those of a large part stay in its files and count nothing. */
  readonly weightBytes: number;
  /** Largest working set of a run of the denoiser. */
  readonly denoiserBytes: number;
  readonly vae: VaeCost;
  /** Weights held by the encoders of text and of the reference image, and working sets of their runs. */
  readonly textEncoder: EncoderBytes;
  readonly imageEncoder: EncoderBytes;
  /** Keys and values of one step and one branch of guidance, if no token is left out. */
  readonly sharedKeyBytes: number;
}

/** Memory of an encoder of which one run is made. */
export interface EncoderBytes {
  readonly weightBytes: number;
  readonly workingBytes: number;
}

const NO_ENCODER: EncoderBytes = { weightBytes: 0, workingBytes: 0 };

/**
 * @param isTiled whether the VAE works in tiles where a frame is larger than one
 * @throws UserError when the size does not suit the model
 */
export function segmentCost(
  description: ModelDescription,
  size: SegmentSize,
  site: SharingSite | null,
  isTiled: boolean,
): SegmentCost {
  const { dit, maxMapBlock, textEncoder, imageEncoder } = description;
  const shape = denoiserShape(description, size);
  const plain = runCost(buildWanDiT(dit, shape));
  const sharing: KvSharing | null = site && { ...site, role: "share", branch: "positive", maxMapBlock };
  const share = sharing ? runCost(buildWanDiT(dit, shape, sharing)) : plain;
  const vae = vaeCost(description.vae, size, isTiled);
  const takesImage = dit.imageDim !== null;
  return {
    tokens: {
      ...countTokens(dit, shape),
      text: shape.textTokens!,
      image: takesImage ? shape.imageTokens! : 0,
    },
    encodeFlops: 2 * vae.encode.flops,
    decodeFlops: vae.decode.flops,
    predictFlops: plain.flops,
    shareFlops: share.flops,
    weightBytes: heldBytes(plain.weightBytes) + heldBytes(vae.encode.weightBytes + vae.decode.weightBytes),
    denoiserBytes: Math.max(plain.workingBytes, share.workingBytes),
    vae,
    textEncoder: encoderBytes(runCost(buildUmt5(textEncoder, { numTokens: shape.textTokens! }))),
    imageEncoder: takesImage ? encoderBytes(runCost(buildClipVision(imageEncoder))) : NO_ENCODER,
    sharedKeyBytes: site
      ? sharedKeyBytes(dit, shape, site.blocks.length, 1, Float32Array.BYTES_PER_ELEMENT)
      : 0,
  };
}

function encoderBytes({ weightBytes, workingBytes }: RunCost): EncoderBytes {
  return { weightBytes: heldBytes(weightBytes), workingBytes };
}

function heldBytes(weightBytes: number): number {
  return weightBytes > MAP_BEYOND_BYTES ? 0 : weightBytes;
}
