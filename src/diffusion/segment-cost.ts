/** What it takes to make one segment, counted from shapes: nothing is run. */
import { buildWanDiT } from "../models/wan-dit/build.ts";
import { countTokens, sharedKeyBytes } from "../models/wan-dit/cost.ts";
import { type KvSharing } from "../models/wan-dit/kv-sharing.ts";
import { type WanVaeConfig } from "../models/wan-vae/config.ts";
import { buildVaeDecoder, buildVaeEncoder } from "../models/wan-vae/model.ts";
import { runCost } from "../models/run-cost.ts";
import { type SharingSite } from "./denoiser.ts";
import { type SegmentSize, denoiserShape } from "./loaded-model.ts";
import { type ModelDescription } from "./model-folder.ts";

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
  /** Weights of denoiser and VAE as float32. */
  readonly weightBytes: number;
  /** Largest working set of a run. */
  readonly workingBytes: number;
  /** Keys and values of one step and one branch of guidance, if no token is left out. */
  readonly sharedKeyBytes: number;
}

/** @throws UserError when the size does not suit the model */
export function segmentCost(
  description: ModelDescription,
  size: SegmentSize,
  site: SharingSite | null,
): SegmentCost {
  const { dit, maxMapBlock } = description;
  const shape = denoiserShape(description, size);
  const plain = runCost(buildWanDiT(dit, shape));
  const sharing: KvSharing | null = site && { ...site, role: "share", branch: "positive", maxMapBlock };
  const share = sharing ? runCost(buildWanDiT(dit, shape, sharing)) : plain;
  const encode = vaeCost(buildVaeEncoder, description.vae, shape);
  const decode = vaeCost(buildVaeDecoder, description.vae, shape);
  return {
    tokens: {
      ...countTokens(dit, shape),
      text: shape.textTokens!,
      image: dit.imageDim === null ? 0 : shape.imageTokens!,
    },
    encodeFlops: 2 * encode.flops,
    decodeFlops: decode.flops,
    predictFlops: plain.flops,
    shareFlops: share.flops,
    weightBytes: plain.weightBytes + encode.weightBytes + decode.weightBytes,
    workingBytes: Math.max(plain.workingBytes, share.workingBytes, encode.workingBytes, decode.workingBytes),
    sharedKeyBytes: site
      ? sharedKeyBytes(dit, shape, site.blocks.length, 1, Float32Array.BYTES_PER_ELEMENT)
      : 0,
  };
}

/** A whole segment through one side of the VAE: the first latent frame, then the others one by one. */
function vaeCost(
  build: typeof buildVaeEncoder,
  config: WanVaeConfig,
  { latentFrames, latentHeight, latentWidth }: ReturnType<typeof denoiserShape>,
) {
  const [start, next] = (["start", "next"] as const).map((position) =>
    runCost(build(config, { position, numLatentFrames: 1, latentHeight, latentWidth })),
  );
  return { ...next!, flops: start!.flops + (latentFrames - 1) * next!.flops };
}
