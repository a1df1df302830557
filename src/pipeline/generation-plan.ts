/** What a dry run tells: the segments, and what they will cost. */
import { guidanceBranches } from "../diffusion/guidance.ts";
import { openModelFolder } from "../diffusion/model-folder.ts";
import { type SegmentCost, segmentCost } from "../diffusion/segment-cost.ts";
import { readImage } from "../media/image.ts";
import { probeVideo } from "../media/video.ts";
import { matmulSpeed } from "../runtime/measure.ts";
import { Driver } from "./driver.ts";
import { numFramesAt } from "./perceive.ts";
import { type Plan, planSegments } from "./plan.ts";
import type { RunOptions } from "./progress.ts";
import {
  type CheckedGenerateRequest,
  type GenerateRequest,
  anchorOf,
  checkGenerateRequest,
} from "./request.ts";
import { segmentWork } from "./segment-work.ts";
import {
  type SamplingSettings,
  checkOutput,
  overlapOptions,
  resolvePlacement,
  resolveSampling,
} from "./settings.ts";
import { type SharingPlan, numbersOf, planSharing } from "./sharing-plan.ts";

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

export interface GenerationPlan {
  readonly plan: Plan;
  readonly fps: number;
  readonly width: number;
  readonly height: number;
  readonly numSteps: number;
  readonly guidanceScale: number;
  /** Tokens of one segment: in self-attention (video and reference), and in cross-attention. */
  readonly tokens: {
    readonly video: number;
    readonly ref: number;
    readonly text: number;
    readonly image: number;
  };
  /** With `auto` the plan of a full-body shot, since the driving video has not been looked at. */
  readonly sharing: SharingPlan | null;
  readonly work: WorkEstimate;
  readonly memory: MemoryEstimate;
  /** Lossless frames and other files of the work directory, at most. */
  readonly diskBytes: number;
  /** Measured with a short matrix product. */
  readonly gflops: number;
  readonly estimatedMs: {
    readonly perceive: number;
    readonly base: number;
    readonly interpolate: number;
    readonly write: number;
    readonly total: number;
  };
}

/** Speeds that estimates rest on, measured on two cores of a server; `npm run bench` measures the parts again. */
const SPEEDS = {
  /** Share of the MatMul peak that a denoising step reaches. */
  denoiser: 0.75,
  /** Finding a person and both hands, on a thread each that multiplies matrices at 200 GFLOPS. */
  perceiveFlopsPerFrame: 1e10,
  /** Stitching and encoding H.264, per pixel. */
  writeNsPerPixel: 60,
} as const;

/** Node.js with the engine, before any model is loaded. */
const PROGRAM_BYTES = 250e6;
/** The networks that find people and hands, which are gone before the denoiser starts. */
const PERCEPTION_BYTES = 400e6;

/**
 * Plans a run without running any network on its inputs: the driving video is only probed, and the machine's speed
 * measured with a matrix product of about a second.
 * @throws UserError for bad input
 */
export async function planGeneration(
  request: GenerateRequest,
  { signal }: RunOptions = {},
): Promise<GenerationPlan> {
  const checked = checkGenerateRequest(request);
  const { description } = await openModelFolder(checked.model);
  const sampling = resolveSampling(checked, description);
  await checkOutput(checked);
  await readImage(checked.image);
  const videoFrames = await countFrames(checked, sampling.fps, signal);
  const placement = await resolvePlacement(checked, () => {});

  const plan = planSegments(videoFrames, { ...overlapOptions(sampling), anchor: anchorOf(checked) });
  const numBases = plan.segments.filter(({ kind }) => kind !== "interpolated").length;
  const sharing = numBases < 2 ? null : planSharing(checked, description, sampling.numSteps, UNSEEN_SHOT);
  const site = sharing && { mode: sharing.mode, blocks: numbersOf(sharing.blocks) };
  const { width, height, fps, numSteps, guidanceScale } = sampling;
  const cost = segmentCost(description, { width, height, numFrames: plan.segmentFrames }, site);
  const gflops = await matmulSpeed(placement);
  const counts = { numBases, numInterpolated: plan.segments.length - numBases };
  const branches = guidanceBranches(guidanceScale).length;
  return {
    plan,
    fps,
    width,
    height,
    numSteps,
    guidanceScale,
    tokens: cost.tokens,
    sharing,
    work: countWork(cost, sampling, sharing, counts),
    memory: estimateMemory(cost, sharing ? (sharing.steps[1] - sharing.steps[0]) * branches : 0, checked),
    diskBytes: plan.segments.length * plan.segmentFrames * width * height * 3,
    gflops,
    estimatedMs: estimateTime(checked, segmentWork(cost, sampling).total, plan.numFrames * width * height, {
      ...counts,
      videoFrames,
      gflops,
    }),
  };
}

/** What `auto` sharing is planned for before the driving video has been looked at. */
const UNSEEN_SHOT = "full-body";

async function countFrames(
  { video, keypoints }: CheckedGenerateRequest,
  fps: number,
  signal: AbortSignal | undefined,
): Promise<number> {
  const info = video === undefined ? null : await probeVideo(video, signal);
  if (keypoints !== undefined) return (await Driver.open(keypoints, fps)).numFrames;
  return numFramesAt(fps, info!);
}

interface SegmentCounts {
  readonly numBases: number;
  readonly numInterpolated: number;
}

function countWork(
  cost: SegmentCost,
  { numSteps, guidanceScale }: SamplingSettings,
  sharing: SharingPlan | null,
  { numBases, numInterpolated }: SegmentCounts,
): WorkEstimate {
  const branches = guidanceBranches(guidanceScale).length;
  const plain = numSteps * branches * cost.predictFlops;
  const sharedSteps = sharing ? sharing.steps[1] - sharing.steps[0] : 0;
  const extra = sharedSteps * branches * (cost.shareFlops - cost.predictFlops);
  const encodeFlops = (numBases + numInterpolated) * cost.encodeFlops;
  const decodeFlops = (numBases + numInterpolated) * cost.decodeFlops;
  // The anchor shares nothing: it is what the others share.
  const baseFlops = numBases * plain + (numBases - 1) * extra;
  const interpolateFlops = numInterpolated * plain;
  const totalFlops = encodeFlops + decodeFlops + baseFlops + interpolateFlops;
  return { encodeFlops, baseFlops, interpolateFlops, decodeFlops, totalFlops };
}

/** @param numKept steps times branches of guidance whose keys the anchor leaves */
function estimateMemory(
  cost: SegmentCost,
  numKept: number,
  { keypoints }: CheckedGenerateRequest,
): MemoryEstimate {
  const { weightBytes, workingBytes } = cost;
  const keptBytes = numKept * cost.sharedKeyBytes;
  // Plain and sharing graphs each keep the memory of their largest run.
  const generating = weightBytes + 2 * workingBytes + keptBytes;
  const perceiving = keypoints === undefined ? PERCEPTION_BYTES : 0;
  return {
    weightBytes,
    sharedKeyBytes: keptBytes,
    workingBytes,
    totalBytes: PROGRAM_BYTES + Math.max(generating, perceiving),
  };
}

function estimateTime(
  { keypoints }: CheckedGenerateRequest,
  segmentFlops: number,
  numPixels: number,
  known: SegmentCounts & { readonly videoFrames: number; readonly gflops: number },
): GenerationPlan["estimatedMs"] {
  const { numBases, numInterpolated, videoFrames, gflops } = known;
  const segmentMs = segmentFlops / (SPEEDS.denoiser * gflops * 1e6);
  const perceive =
    keypoints === undefined ? (videoFrames * SPEEDS.perceiveFlopsPerFrame) / (gflops * 1e6) : 0;
  const base = numBases * segmentMs;
  const interpolate = numInterpolated * segmentMs;
  const write = (numPixels * SPEEDS.writeNsPerPixel) / 1e6;
  return { perceive, base, interpolate, write, total: perceive + base + interpolate + write };
}
