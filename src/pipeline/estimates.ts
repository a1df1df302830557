/** Operations, memory and time of a run, counted from shapes and a few measured speeds. */
import { guidanceBranches } from "../diffusion/guidance.ts";
import type { SegmentCost } from "../diffusion/segment-cost.ts";
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
  /** Weights held in memory; large models stay in their files. */
  readonly weightBytes: number;
  /** The anchor's keys and values, if no token of them is left out. */
  readonly sharedKeyBytes: number;
  /** The largest working set of one run of a network. */
  readonly workingBytes: number;
  /** All of these, with the program itself. */
  readonly totalBytes: number;
}

/** Milliseconds of each phase. */
export interface TimeEstimate {
  readonly perceive: number;
  readonly base: number;
  readonly interpolate: number;
  readonly write: number;
  readonly total: number;
}

/** Speeds that estimates rest on, measured on two cores of a server. */
const SPEEDS = {
  /** Share of the MatMul peak that a denoising step reaches. */
  denoiser: 0.75,
  /** Work of finding a person and both hands in a frame: 50 ms where matrices are multiplied at 200 GFLOPS. */
  perceiveFlopsPerFrame: 1e10,
  /** Stitching and encoding H.264. */
  writeMsPerFrame: 3.5,
  writeNsPerPixel: 60,
} as const;

/** Node.js with the engine, before any model is loaded. */
const PROGRAM_BYTES = 300e6;
/** The networks that find people and hands, and what stays of them when they are gone. */
const PERCEPTION_BYTES = 450e6;
const PERCEPTION_REST_BYTES = 180e6;

/**
 * Each graph keeps the memory of its largest run: plain denoising, sharing in both branches of guidance, and the
 * VAE's two sides, at the start of a video and after it.
 */
const GRAPHS_IN_MEMORY = 7;

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
  { numSteps, guidanceScale }: SamplingSettings,
  sharing: SharingPlan | null,
): { all: number; shared: number } {
  const branches = guidanceBranches(guidanceScale).length;
  const sharedSteps = sharing ? sharing.steps[1] - sharing.steps[0] : 0;
  return { all: numSteps * branches, shared: sharedSteps * branches };
}

export function estimateWork(
  cost: SegmentCost,
  sampling: SamplingSettings,
  sharing: SharingPlan | null,
  plan: Plan,
): WorkEstimate {
  const { numBases, numInterpolated } = countSegments(plan);
  const predictions = countPredictions(sampling, sharing);
  const plain = predictions.all * cost.predictFlops;
  const extra = predictions.shared * (cost.shareFlops - cost.predictFlops);
  const encodeFlops = (numBases + numInterpolated) * cost.encodeFlops;
  const decodeFlops = (numBases + numInterpolated) * cost.decodeFlops;
  // The anchor shares nothing: it is what the others share.
  const baseFlops = numBases * plain + (numBases - 1) * extra;
  const interpolateFlops = numInterpolated * plain;
  const totalFlops = encodeFlops + decodeFlops + baseFlops + interpolateFlops;
  return { encodeFlops, baseFlops, interpolateFlops, decodeFlops, totalFlops };
}

/** @param isSeen whether poses have to be found in the driving video first */
export function estimateMemory(
  { weightBytes, workingBytes, ...cost }: SegmentCost,
  sampling: SamplingSettings,
  sharing: SharingPlan | null,
  isSeen: boolean,
): MemoryEstimate {
  const sharedKeyBytes = countPredictions(sampling, sharing).shared * cost.sharedKeyBytes;
  const generating = weightBytes + GRAPHS_IN_MEMORY * workingBytes + sharedKeyBytes;
  const perceiving = isSeen ? PERCEPTION_BYTES : 0;
  const left = isSeen ? PERCEPTION_REST_BYTES : 0;
  const totalBytes = PROGRAM_BYTES + Math.max(left + generating, perceiving);
  return { weightBytes, sharedKeyBytes, workingBytes, totalBytes };
}

/**
 * @param seenFrames frames to find poses in
 * @param gflops of matrix products
 */
export function estimateTime(
  cost: SegmentCost,
  sampling: SamplingSettings,
  plan: Plan,
  seenFrames: number,
  gflops: number,
): TimeEstimate {
  const { numBases, numInterpolated } = countSegments(plan);
  const msPerFlop = 1e-6 / gflops;
  const segmentMs = (segmentWork(cost, sampling).total / SPEEDS.denoiser) * msPerFlop;
  const perceive = seenFrames * SPEEDS.perceiveFlopsPerFrame * msPerFlop;
  const base = numBases * segmentMs;
  const interpolate = numInterpolated * segmentMs;
  const pixels = sampling.width * sampling.height;
  const write = plan.numFrames * (SPEEDS.writeMsPerFrame + (pixels * SPEEDS.writeNsPerPixel) / 1e6);
  return { perceive, base, interpolate, write, total: perceive + base + interpolate + write };
}
