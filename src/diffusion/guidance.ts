/** Classifier-free guidance (method section 3). */

/** Which text the denoiser sees: the prompt, or the negative prompt. */
export type GuidanceBranch = "positive" | "negative";

/** Scale at which guidance changes nothing and the negative branch need not run. */
const NEUTRAL_SCALE = 1;

/** The branches that a step has to run, in order: attention maps of the positive one serve the negative one. */
export function guidanceBranches(guidanceScale: number): readonly GuidanceBranch[] {
  return guidanceScale === NEUTRAL_SCALE ? ["positive"] : ["positive", "negative"];
}

/** negative + guidanceScale (positive - negative). */
export function guide(positive: Float32Array, negative: Float32Array, guidanceScale: number): Float32Array {
  return positive.map((p, i) => negative[i]! + guidanceScale * (p - negative[i]!));
}

/**
 * The guided velocity of one step.
 * @param predict runs the denoiser on one branch
 */
export async function guidedVelocity(
  guidanceScale: number,
  predict: (branch: GuidanceBranch) => Promise<Float32Array>,
): Promise<Float32Array> {
  const positive = await predict("positive");
  if (guidanceScale === NEUTRAL_SCALE) return positive;
  return guide(positive, await predict("negative"), guidanceScale);
}
