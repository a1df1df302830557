import { guidanceBranches } from "../diffusion/guidance.ts";
import type { SegmentCost } from "../diffusion/segment-cost.ts";
import type { SamplingSettings } from "./settings.ts";

/** Work on one segment, in operations of large matrix products that take as long. */
export interface SegmentWork {
  readonly encode: number;
  /** One denoising step with all its branches of guidance. */
  readonly step: number;
  readonly decode: number;
  readonly total: number;
}

export function segmentWork(
  { predict, vae }: SegmentCost,
  { guidanceScale, numSteps }: Pick<SamplingSettings, "guidanceScale" | "numSteps">,
): SegmentWork {
  // Skeleton and hand normals.
  const encode = 2 * vae.encode.effort;
  const decode = vae.decode.effort;
  const step = predict.effort * guidanceBranches(guidanceScale).length;
  return { encode, step, decode, total: encode + numSteps * step + decode };
}
