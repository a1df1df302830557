/** What a model takes for a video of some size and length, in the memory of some machine: counted, nothing is run. */
import { type SegmentCost, segmentCost } from "../diffusion/segment-cost.ts";
import type { ModelDescription } from "../diffusion/model-folder.ts";
import { guidanceBranches } from "../diffusion/guidance.ts";
import type { Int8Choice } from "../diffusion/int8-calibration.ts";
import { MAP_BEYOND_BYTES } from "../runtime/shared-weights.ts";
import { UserError } from "../tensor/errors.ts";
import {
  type MemoryEstimate,
  type SampledSize,
  type TimeEstimate,
  estimateMemory,
  estimateTime,
} from "./estimates.ts";
import { planSegments } from "./plan.ts";
import type { CheckedGenerateRequest } from "./request.ts";
import { type KeyKeeping, type SharingPlan, planSharing, siteOf } from "./sharing-plan.ts";
import { type StoredSizes, stageLength } from "./staging.ts";
import { type VaeTiling, chooseTiling } from "./vae-tiling.ts";

export interface ModelPlanRequest extends Pick<CheckedGenerateRequest, "kvShare"> {
  readonly width: number;
  readonly height: number;
  /** Frames of the result. */
  readonly numFrames: number;
  /** 4k + 1 */
  readonly segmentFrames: number;
  readonly numSteps: number;
  readonly guidanceScale: number;
  /** Whether weights are held by a device of its own, as float32, in place of being mapped from their files. */
  readonly isAccelerator: boolean;
  /** Of matrix products, on the device. */
  readonly gflops: number;
  /** Memory there is for everything. */
  readonly memoryBytes: number;
  /** Whether the denoiser runs in stages where it need not, which leaves one graph open in place of three. */
  readonly inStages?: boolean;
  /** How the anchor's keys are kept: in memory and in float16 by default. */
  readonly keeping?: KeyKeeping;
}

/** What a model's own numbers are. */
export interface ModelWeights {
  readonly description: ModelDescription;
  readonly denoiser: StoredSizes;
  /** Low-rank pairs and whole layers of both phases as float32, as they are held beside a mapped base. */
  readonly finetuningBytes: number;
  /** Layers that are computed in int8; null for none. */
  readonly int8: Int8Choice | null;
}

export interface ModelPlan {
  readonly segmentFrames: number;
  readonly numSegments: number;
  readonly sharing: SharingPlan | null;
  readonly keeping: KeyKeeping;
  readonly tiling: VaeTiling | null;
  /** Blocks of the denoiser that are in memory at a time; null for all. */
  readonly blocksPerStage: number | null;
  readonly cost: SegmentCost;
  readonly memory: MemoryEstimate;
  readonly estimatedMs: TimeEstimate;
  /** Evaluations of the denoiser. */
  readonly numEvaluations: number;
  /** Bytes read from the disk again at each of them, because memory does not hold the file beside the work. */
  readonly rereadBytes: number;
  readonly rereadMs: number;
  readonly fits: boolean;
}

/** A ready solid-state disk. Assumed, not measured: it makes a small part of the time wherever it matters. */
const DISK_BYTES_PER_MS = 2e6;

/** Plans one way to make a video. @throws UserError when sizes do not suit the model, or lengths make no plan */
export async function planModel(weights: ModelWeights, request: ModelPlanRequest): Promise<ModelPlan> {
  const { description } = weights;
  const { width, height, numFrames, segmentFrames, numSteps, memoryBytes } = request;
  const sampling: SampledSize = request;
  const plan = planSegments(numFrames, { segmentFrames });
  const size = { width, height, numFrames: segmentFrames };
  const tilingRequest = { vaeTiling: "auto", resume: false } as const;
  const tiling = await chooseTiling(tilingRequest, description, size, "", () => {}, memoryBytes / 2);
  const isShared = plan.segments.length > 2;
  const sharingRequest = { kvShare: request.kvShare, kvMode: "paper" } as const;
  const sharing = isShared ? planSharing(sharingRequest, description, numSteps, "full-body") : null;
  const site = sharing && siteOf(sharing, request.keeping);
  const blocksPerStage = chooseLength(weights, request);
  const cost = segmentCost(description, size, {
    site,
    isTiled: tiling !== null,
    blocksPerStage,
    int8: weights.int8,
  });
  const memory = withWeights(
    estimateMemory(cost, sampling, sharing, plan, true),
    weights,
    request,
    blocksPerStage,
  );
  const estimatedMs = estimateTime(cost, sampling, plan, numFrames, request.gflops);
  const numEvaluations = plan.segments.length * numSteps * guidanceBranches(request.guidanceScale).length;
  const { storedBytes, floatBytes } = weights.denoiser;
  const left = Math.max(0, memoryBytes - memory.totalBytes);
  const isReread = request.isAccelerator
    ? blocksPerStage !== null
    : floatBytes > MAP_BEYOND_BYTES && left < storedBytes;
  const rereadBytes = isReread ? storedBytes : 0;
  return {
    segmentFrames,
    numSegments: plan.segments.length,
    sharing,
    keeping: request.keeping ?? {},
    tiling,
    blocksPerStage,
    cost,
    memory,
    estimatedMs,
    numEvaluations,
    rereadBytes,
    rereadMs: (rereadBytes * numEvaluations) / DISK_BYTES_PER_MS,
    fits: memory.totalBytes <= memoryBytes,
  };
}

/** A device holds what it works with as float32; from main memory, pages of files can be dropped. */
function chooseLength(
  { description, denoiser, int8 }: ModelWeights,
  { isAccelerator, memoryBytes, inStages = false }: ModelPlanRequest,
): number | null {
  const { numLayers } = description.dit;
  const roomBytes = inStages || int8 !== null ? 0 : memoryBytes;
  if (!isAccelerator) return stageLength(denoiser, numLayers, roomBytes);
  const widening = denoiser.floatBytes / denoiser.storedBytes;
  const held = { ...denoiser, storedBytes: denoiser.floatBytes, blockBytes: widening * denoiser.blockBytes };
  return stageLength(held, numLayers, roomBytes);
}

/** What `estimateMemory` leaves out: finetunings beside a base in its files, and large weights on accelerators. */
function withWeights(
  memory: MemoryEstimate,
  { description, denoiser, finetuningBytes }: ModelWeights,
  { isAccelerator }: ModelPlanRequest,
  blocksPerStage: number | null,
): MemoryEstimate {
  const { floatBytes } = denoiser;
  if (floatBytes <= MAP_BEYOND_BYTES) return memory;
  const onDevice = blocksPerStage === null ? 1 : blocksPerStage / description.dit.numLayers;
  // Both phases are held, and the one in force once more as inputs of the graph.
  const added = 1.5 * finetuningBytes + (isAccelerator ? onDevice * floatBytes : 0);
  return {
    ...memory,
    weightBytes: memory.weightBytes + added,
    totalBytes: memory.totalBytes + added,
  };
}

/** Shorter segments are mostly overlap. */
const MIN_SEGMENT_FRAMES = 17;

/** Ways to keep the anchor's keys in less memory; the folder is that of a run to come. */
const SMALLER_KEEPINGS: readonly KeyKeeping[] = [{ keyFolder: "" }, { keyFolder: "", keyDType: "int8" }];

/**
 * Ways to make a video, each taking less memory than the one before, up to the first that fits: as asked, in stages where
 * the model can be, with the anchor's keys on the disk, without background sharing, with shorter segments.
 */
export async function planWays(weights: ModelWeights, request: ModelPlanRequest): Promise<ModelPlan[]> {
  const ways = [await planModel(weights, request)];
  if (ways[0]!.fits) return ways;
  if (ways[0]!.blocksPerStage === null && ways[0]!.sharing) {
    const staged = await planModel(weights, { ...request, inStages: true });
    if (staged.fits) return [...ways, staged];
  }
  if (ways[0]!.sharing) {
    for (const keeping of SMALLER_KEEPINGS) {
      const kept = await planModel(weights, { ...request, inStages: true, keeping });
      if (kept.fits) return [...ways, kept];
    }
  }
  const alone: ModelPlanRequest = { ...request, kvShare: "off" };
  if (ways[0]!.sharing) ways.push(await planModel(weights, alone));
  if (ways.at(-1)!.fits || request.segmentFrames <= MIN_SEGMENT_FRAMES) return ways;
  const shortest = await planModel(weights, { ...alone, segmentFrames: MIN_SEGMENT_FRAMES });
  if (!shortest.fits) return [...ways, shortest];
  // The longest that fits, in steps of a latent frame.
  let [longest, low, high] = [shortest, MIN_SEGMENT_FRAMES, request.segmentFrames];
  while (high - low > 4) {
    const middle = low + 4 * Math.round((high - low) / 8);
    const plan = await planModel(weights, { ...alone, segmentFrames: middle });
    if (plan.fits) [longest, low] = [plan, middle];
    else high = middle;
  }
  return [...ways, longest];
}

/** @throws UserError for a size that no graph of the model has */
export function checkPlanSize(width: number, height: number): void {
  if (width > 0 && height > 0 && width % 16 === 0 && height % 16 === 0) return;
  throw new UserError(`size: got ${width}x${height}; expected multiples of 16, such as 720x1280`);
}
