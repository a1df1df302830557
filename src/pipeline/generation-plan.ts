/** What a dry run tells: the segments, and what they will cost. */
import { segmentCost } from "../diffusion/segment-cost.ts";
import { matmulSpeed } from "../runtime/measure.ts";
import { Driver } from "./driver.ts";
import {
  type MemoryEstimate,
  type TimeEstimate,
  type WorkEstimate,
  estimateMemory,
  estimateTime,
  estimateWork,
  storedKeyBytes,
} from "./estimates.ts";
import { type RunInputs, openInputs } from "./inputs.ts";
import { numFramesAt } from "./perceive.ts";
import { type Plan, planSegments } from "./plan.ts";
import type { RunOptions } from "./progress.ts";
import { type GenerateRequest, checkGenerateRequest, workDirOf } from "./request.ts";
import { overlapOptions, plainPrompt } from "./settings.ts";
import { type SharingPlan, chooseSharing, keyKeeping, siteOf } from "./sharing-plan.ts";
import type { VaeTiling } from "./vae-tiling.ts";

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
  /** Tiles that the VAE works in; null where frames stay whole. */
  readonly tiling: VaeTiling | null;
  readonly work: WorkEstimate;
  readonly memory: MemoryEstimate;
  /** Lossless frames and other files of the work directory, at most. */
  readonly diskBytes: number;
  /** Measured with a short matrix product. */
  readonly gflops: number;
  readonly estimatedMs: TimeEstimate;
}

/** What `auto` sharing is planned for before the driving video has been looked at. */
const UNSEEN_SHOT = "full-body";

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
  const inputs = await openInputs(checked, () => {}, signal);
  try {
    const { sampling, tiling, model } = inputs;
    const { width, height, fps, numSteps, guidanceScale } = sampling;
    const videoFrames = await countFrames(inputs);
    // The stillest segment is not known before the video has been looked at; it makes no difference to the cost.
    const anchor = checked.anchor === "auto" ? 0 : checked.anchor;
    const plan = planSegments(videoFrames, { ...overlapOptions(sampling), anchor });
    // A description of the reference is not asked for; it will name the person as the plain prompt does.
    const prompt = sampling.prompt ?? plainPrompt(sampling.subject);
    const sharing = chooseSharing(inputs, { plan, shot: UNSEEN_SHOT, prompt }, () => {});
    const site = sharing && siteOf(sharing, keyKeeping(checked, workDirOf(checked)));
    const size = { width, height, numFrames: plan.segmentFrames };
    const { blocksPerStage = null } = model.placement;
    const isTiled = tiling !== null;
    const cost = segmentCost(model.description, size, { site, isTiled, blocksPerStage, int8: model.int8 });
    const keyBytes = storedKeyBytes(cost, sampling, sharing);
    const gflops = await matmulSpeed(model.placement);
    const isSeen = checked.keypoints === undefined;
    return {
      plan,
      fps,
      width,
      height,
      numSteps,
      guidanceScale,
      tokens: cost.tokens,
      sharing,
      tiling,
      work: estimateWork(cost, sampling, sharing, plan),
      memory: estimateMemory(cost, sampling, sharing, plan, isSeen || checked.align !== "off"),
      diskBytes: plan.segments.length * plan.segmentFrames * width * height * 3 + keyBytes,
      gflops,
      estimatedMs: estimateTime(cost, sampling, plan, isSeen ? videoFrames : 0, gflops),
    };
  } finally {
    await inputs.model.release();
  }
}

/** Frames of the driver at the rate of the result. */
async function countFrames({ request, stretch, sampling: { fps } }: RunInputs): Promise<number> {
  const { keypoints } = request;
  if (keypoints !== undefined) return (await Driver.open(keypoints, fps)).numFrames;
  return numFramesAt(fps, stretch!);
}
