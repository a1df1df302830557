/** The series of rendered clips that figures are measured on, and the one that models are trained on. */
import type { ModelDescription } from "../../diffusion/model-folder.ts";
import { planSegments } from "../../pipeline/plan.ts";
import type { ClipRecipe } from "../../training/render-training-clip.ts";

const CLIPS = {
  world: "easy",
  width: 128,
  height: 192,
  numFrames: 33,
  headFrames: 0,
  tailFrames: 0,
} as const;

/** Clips of the embedded model's last stages; see `recipes/posegen-mini`. */
export const TRAINING_SERIES: ClipRecipe = { ...CLIPS, series: "train" };

/** Number of these clips that the embedded model has seen. */
export const NUM_TRAINING_CLIPS = 1152;

/** Never trained on; the README's figures are measured on its first clips. */
export const HELD_OUT_SERIES: ClipRecipe = { ...CLIPS, series: "held out" };

/** Frame rate of rendered clips. */
export const FPS = 16;

/** Held-out clips at a model's size: two base segments and the interpolated one between them. */
export function heldOutSeries({ defaults }: Pick<ModelDescription, "defaults">): ClipRecipe {
  const { width, height, segmentFrames } = defaults;
  const { segments } = planSegments(segmentFrames + 1, { segmentFrames });
  return { ...HELD_OUT_SERIES, width, height, numFrames: segments.at(-1)!.start + segmentFrames };
}

/** Held-out clips at a model's size, of one segment. */
export function heldOutSegments({
  defaults: { width, height, segmentFrames },
}: Pick<ModelDescription, "defaults">): ClipRecipe {
  return { ...HELD_OUT_SERIES, width, height, numFrames: segmentFrames };
}

/** Training clips at a model's size. */
export function trainingSeries({
  defaults: { width, height },
}: Pick<ModelDescription, "defaults">): ClipRecipe {
  return { ...TRAINING_SERIES, width, height };
}
