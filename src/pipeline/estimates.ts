/** Operations, memory and time of a run, counted from shapes and a few measured speeds. */
import { guidanceBranches } from "../diffusion/guidance.ts";
import type { NetworkCost, SegmentCost } from "../diffusion/segment-cost.ts";
import { type VaeCost, vaeBytes } from "../diffusion/vae-cost.ts";
import type { Plan } from "./plan.ts";
import { segmentWork } from "./segment-work.ts";
import type { SamplingSettings } from "./settings.ts";
import type { SharingPlan } from "./sharing-plan.ts";

/** Floating-point operations; a multiplication with its addition counts as two. */
export interface WorkEstimate {
  /** VAE encoding of conditions. */
  readonly encodeFlops: number;
  /** Denoising of the anchor and the base segments. */
  readonly baseFlops: number;
  readonly interpolateFlops: number;
  /** VAE decoding. */
  readonly decodeFlops: number;
  readonly totalFlops: number;
}

export interface MemoryEstimate {
  /** Weights of denoiser and VAE; those of large models stay in their files. */
  readonly weightBytes: number;
  /** The denoiser's graphs at work. */
  readonly denoiserBytes: number;
  /** The anchor's keys and values, if no token of them is left out. */
  readonly sharedKeyBytes: number;
  /** The VAE at work: one chunk of four frames, whole or a tile, whatever the length of a segment. */
  readonly vaeBytes: number;
  /** The larger one of the encoders of text and image, which end before the denoiser begins. */
  readonly encoderBytes: number;
  /** Pictures of one segment. */
  readonly frameBytes: number;
  /** The peak, with the program itself. */
  readonly totalBytes: number;
}

/** Milliseconds of each phase. */
export interface TimeEstimate {
  readonly perceive: number;
  /** Opening the model, looking at the reference image, encoding it and the prompts. */
  readonly encode: number;
  readonly base: number;
  readonly interpolate: number;
  readonly write: number;
  readonly total: number;
}

/** Speeds that estimates rest on, measured on two cores of a server. */
const SPEEDS = {
  /** Work of finding a person and both hands in a frame: 50 ms where matrices are multiplied at 200 GFLOPS. */
  perceiveFlopsPerFrame: 1e10,
  /** Reading weights, opening graphs and looking at the reference: 3 s where matrices are multiplied at 170 GFLOPS. */
  startFlops: 5e11,
  /** Stitching and encoding H.264. */
  writeMsPerFrame: 3.5,
  writeNsPerPixel: 60,
} as const;

/** Node.js with the engine, before any model is loaded. */
const PROGRAM_BYTES = 300e6;
/** The networks that find people and hands, and what stays of them when they are gone. */
const PERCEPTION_BYTES = 450e6;
const PERCEPTION_REST_BYTES = 180e6;

/** What of a run's sampling decides its cost. */
export type SampledSize = Pick<SamplingSettings, "width" | "height" | "numSteps" | "guidanceScale">;

interface SegmentCounts {
  readonly numBases: number;
  readonly numInterpolated: number;
}

function countSegments({ segments }: Plan): SegmentCounts {
  const numInterpolated = segments.filter(({ kind }) => kind === "interpolated").length;
  return { numBases: segments.length - numInterpolated, numInterpolated };
}

/** Evaluations of the denoiser in a segment, and how many of them share. */
function countPredictions(
  { numSteps, guidanceScale }: SampledSize,
  sharing: SharingPlan | null,
): { all: number; shared: number } {
  const branches = guidanceBranches(guidanceScale).length;
  const sharedSteps = sharing ? sharing.steps[1] - sharing.steps[0] : 0;
  return { all: numSteps * branches, shared: sharedSteps * branches };
}

export function estimateWork(
  cost: SegmentCost,
  sampling: SampledSize,
  sharing: SharingPlan | null,
  plan: Plan,
): WorkEstimate {
  const { numBases, numInterpolated } = countSegments(plan);
  const predictions = countPredictions(sampling, sharing);
  const plain = predictions.all * cost.predict.flops;
  const extra = predictions.shared * (cost.share.flops - cost.predict.flops);
  // Skeleton and hand normals.
  const encodeFlops = (numBases + numInterpolated) * 2 * cost.vae.encode.flops;
  const decodeFlops = (numBases + numInterpolated) * cost.vae.decode.flops;
  // The anchor shares nothing: it is what the others share.
  const baseFlops = numBases * plain + (numBases - 1) * extra;
  const interpolateFlops = numInterpolated * plain;
  const totalFlops = encodeFlops + decodeFlops + baseFlops + interpolateFlops;
  return { encodeFlops, baseFlops, interpolateFlops, decodeFlops, totalFlops };
}

/** @param isSeen whether poses have to be found first, in the driving video or in the reference */
export function estimateMemory(
  cost: SegmentCost,
  sampling: SampledSize,
  sharing: SharingPlan | null,
  plan: Plan,
  isSeen: boolean,
): MemoryEstimate {
  const { predict, share, vae } = cost;
  const weightBytes = predict.heldBytes + vae.encode.weightBytes + vae.decode.weightBytes;
  const { shared } = countPredictions(sampling, sharing);
  // From the disk, those of one evaluation are brought in.
  const sharedKeyBytes = (cost.areKeysOnDisk ? Math.min(1, shared) : shared) * cost.sharedKeyBytes;
  // Beside the plain graph, one that shares for each branch of guidance; of stages only one is open.
  const numGraphs = 1 + (sharing && !cost.isStaged ? guidanceBranches(sampling.guidanceScale).length : 0);
  const parts = {
    weightBytes,
    denoiserBytes: numGraphs * Math.max(predict.engineBytes, share.engineBytes),
    sharedKeyBytes,
    vaeBytes: vaeBytes(vae),
    encoderBytes: Math.max(...[cost.textEncoder, cost.imageEncoder].map(encoderBytes)),
    frameBytes: frameBytes(vae, sampling, plan),
  };
  const denoising = parts.denoiserBytes + sharedKeyBytes + parts.vaeBytes;
  const generating = weightBytes + parts.frameBytes + Math.max(denoising, parts.encoderBytes);
  const perceiving = isSeen ? PERCEPTION_BYTES : 0;
  const left = isSeen ? PERCEPTION_REST_BYTES : 0;
  return { ...parts, totalBytes: PROGRAM_BYTES + Math.max(left + generating, perceiving) };
}

/** Bytes of the anchor's keys and values on the disk, if no token of them is left out. */
export function storedKeyBytes(
  cost: SegmentCost,
  sampling: SampledSize,
  sharing: SharingPlan | null,
): number {
  return cost.areKeysOnDisk ? countPredictions(sampling, sharing).shared * cost.sharedKeyBytes : 0;
}

function encoderBytes({ heldBytes, engineBytes }: NetworkCost): number {
  return heldBytes + engineBytes;
}

/**
 * Skeletons, hand normals and kept frames while a segment's conditions are encoded; or, where the VAE works in tiles,
 * the decoded segment as float32 with a tile of it, joined from its chunks.
 */
function frameBytes(
  { numTiles, tileWidth, tileHeight }: VaeCost,
  { width, height }: SampledSize,
  { segmentFrames, headFrames, tailFrames }: Plan,
): number {
  const encoding = 3 * width * height * (2 * segmentFrames + headFrames + tailFrames);
  const floats = 3 * segmentFrames * Float32Array.BYTES_PER_ELEMENT;
  const decoding = numTiles > 1 ? floats * (width * height + 2 * tileWidth * tileHeight) : 0;
  return Math.max(encoding, decoding);
}

/**
 * @param seenFrames frames to find poses in
 * @param gflops of matrix products
 */
export function estimateTime(
  cost: SegmentCost,
  sampling: SampledSize,
  plan: Plan,
  seenFrames: number,
  gflops: number,
): TimeEstimate {
  const { numBases, numInterpolated } = countSegments(plan);
  const msPerFlop = 1e-6 / gflops;
  const segmentMs = segmentWork(cost, sampling).total * msPerFlop;
  const perceive = seenFrames * SPEEDS.perceiveFlopsPerFrame * msPerFlop;
  const numPrompts = guidanceBranches(sampling.guidanceScale).length;
  const encodeFlops = numPrompts * cost.textEncoder.effort + cost.imageEncoder.effort;
  const encode = (SPEEDS.startFlops + encodeFlops) * msPerFlop;
  const base = numBases * segmentMs;
  const interpolate = numInterpolated * segmentMs;
  const pixels = sampling.width * sampling.height;
  const write = plan.numFrames * (SPEEDS.writeMsPerFrame + (pixels * SPEEDS.writeNsPerPixel) / 1e6);
  const total = perceive + encode + base + interpolate + write;
  return { perceive, encode, base, interpolate, write, total };
}
