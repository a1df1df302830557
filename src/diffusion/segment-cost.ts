/** What it takes to make one segment, counted from shapes: nothing is run. */
import { buildClipVision } from "../models/clip-vision/build.ts";
import { quantizeLinears } from "../models/layers/int8-linears.ts";
import {
  type NetworkCost,
  NO_NETWORK,
  networkCost,
  stagedCost,
  paramBytesOf,
} from "../models/network-cost.ts";
import { buildUmt5 } from "../models/umt5/build.ts";
import { type WanDiTShape, buildWanDiT } from "../models/wan-dit/build.ts";
import { countTokens, sharedKeyBytes } from "../models/wan-dit/cost.ts";
import { type KvSharing } from "../models/wan-dit/kv-sharing.ts";
import { wanDiTStages } from "../models/wan-dit/stages.ts";
import { MAP_BEYOND_BYTES } from "../runtime/shared-weights.ts";
import { bytesPerElement } from "../tensor/tensor.ts";
import { type SharingSite, sharingOf } from "./denoiser.ts";
import { type Int8Choice, int8Groups } from "./int8-calibration.ts";
import { type SegmentSize, denoiserShape } from "./loaded-model.ts";
import { type ModelDescription } from "./model-folder.ts";
import { type VaeCost, vaeCost } from "./vae-cost.ts";

export type { NetworkCost };

export interface SegmentCost {
  /** Tokens in self-attention (video, reference) and in cross-attention (text, image). */
  readonly tokens: {
    readonly video: number;
    readonly ref: number;
    readonly text: number;
    readonly image: number;
  };
  /** One evaluation of the denoiser, and one that shares the anchor's keys; equal where nothing is shared. */
  readonly predict: NetworkCost;
  readonly share: NetworkCost;
  /** Whether each of the denoiser's graphs is closed after its turn. */
  readonly isStaged: boolean;
  readonly vae: VaeCost;
  /** One prompt, and the reference image. */
  readonly textEncoder: NetworkCost;
  readonly imageEncoder: NetworkCost;
  /** Keys and values of one step and one branch of guidance, if no token is left out. */
  readonly sharedKeyBytes: number;
  /** Whether they are kept on the disk, and brought in for each evaluation. */
  readonly areKeysOnDisk: boolean;
}

/** How a segment is made. */
export interface SegmentWays {
  /** Where keys are shared; null where none are. */
  readonly site: SharingSite | null;
  /** Whether the VAE works in tiles where a frame is larger than one. */
  readonly isTiled: boolean;
  /** Blocks of the denoiser that are in memory at a time; null for all. */
  readonly blocksPerStage?: number | null;
  /** Layers computed in int8. */
  readonly int8?: Int8Choice | null;
}

/** @throws UserError when the size does not suit the model */
export function segmentCost(
  description: ModelDescription,
  size: SegmentSize,
  ways: SegmentWays,
): SegmentCost {
  const { dit, maxMapBlock, textEncoder, imageEncoder } = description;
  const { site, isTiled, blocksPerStage = null } = ways;
  const shape = denoiserShape(description, size);
  const sharing = site && sharingOf(site, "share", "positive", maxMapBlock);
  const predict = denoiserCost(description, shape, null, ways);
  const takesImage = dit.imageDim !== null;
  return {
    tokens: {
      ...countTokens(dit, shape),
      text: shape.textTokens!,
      image: takesImage ? shape.imageTokens! : 0,
    },
    predict,
    share: sharing ? denoiserCost(description, shape, sharing, ways) : predict,
    isStaged: blocksPerStage !== null,
    vae: vaeCost(description.vae, size, isTiled),
    textEncoder: networkCost(buildUmt5(textEncoder, { numTokens: shape.textTokens! }), MAP_BEYOND_BYTES),
    imageEncoder: takesImage ? networkCost(buildClipVision(imageEncoder), MAP_BEYOND_BYTES) : NO_NETWORK,
    sharedKeyBytes: sharing
      ? sharedKeyBytes(dit, shape, sharing.blocks.length, 1, bytesPerElement(sharing.keyDType))
      : 0,
    areKeysOnDisk: site?.keyFolder !== undefined,
  };
}

function denoiserCost(
  { dit }: ModelDescription,
  shape: WanDiTShape,
  kv: KvSharing | null,
  { blocksPerStage = null, int8 = null }: SegmentWays,
): NetworkCost {
  const graphs =
    blocksPerStage === null
      ? [buildWanDiT(dit, shape, kv)]
      : wanDiTStages(dit, shape, kv, blocksPerStage).map((build) => build());
  // Whether the weights stay in their files is decided before they are rounded.
  const isMapped = paramBytesOf(graphs) > MAP_BEYOND_BYTES;
  if (int8) for (const graph of graphs) quantizeLinears(graph, int8Groups(graph, int8));
  const mapBeyondBytes = isMapped ? 0 : Infinity;
  return blocksPerStage === null
    ? networkCost(graphs[0]!, mapBeyondBytes)
    : stagedCost(graphs, mapBeyondBytes);
}
