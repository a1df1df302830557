/** What a dry run tells: the segments, and what they will cost. */
import type { Plan } from "./plan.ts";
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
