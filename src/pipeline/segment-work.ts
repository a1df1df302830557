import { guidanceBranches } from "../diffusion/guidance.ts";
import type { SegmentCost } from "../diffusion/segment-cost.ts";
import type { SamplingSettings } from "./settings.ts";

/** Work on one segment, in floating-point operations of the denoiser that take as long. */
export interface SegmentWork {
  readonly encode: number;
  /** One denoising step with all its branches of guidance. */
  readonly step: number;
  readonly decode: number;
  readonly total: number;
}

/** An operation of the VAE's convolutions takes as long as this many of the denoiser's matrix products. */
const VAE_SLOWNESS = 1.8;

export function segmentWork(
  cost: SegmentCost,
  { guidanceScale, numSteps }: Pick<SamplingSettings, "guidanceScale" | "numSteps">,
): SegmentWork {
  const encode = VAE_SLOWNESS * cost.encodeFlops;
  const decode = VAE_SLOWNESS * cost.decodeFlops;
  const step = cost.predictFlops * guidanceBranches(guidanceScale).length;
  return { encode, step, decode, total: encode + numSteps * step + decode };
}
