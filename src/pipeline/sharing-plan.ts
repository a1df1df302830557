/** Which steps and blocks share the anchor's background (method section 5). */
import type { ModelDescription } from "../diffusion/model-folder.ts";
import type { SharingMode, SharingSite } from "../diffusion/denoiser.ts";
import { UserError } from "../tensor/errors.ts";
import type { RunInputs } from "./inputs.ts";
import type { Plan } from "./plan.ts";
import type { CheckedGenerateRequest, Shot } from "./request.ts";

/** From the first to before the second. */
export type Range = readonly [from: number, to: number];

export interface SharingPlan {
  /** The preset it comes from; null for explicit ranges. */
  readonly shot: Shot | null;
  /** Denoising steps whose keys and values are shared. */
  readonly steps: Range;
  /** Blocks of the denoiser that share. */
  readonly blocks: Range;
  readonly mode: SharingMode;
}

/**
 * What a request means for a model.
 * @param numSteps denoising steps of a segment; presets end there at the latest
 * @param shot how much of the driver is seen, for `auto`
 * @returns null when nothing is shared
 * @throws UserError when explicit ranges lie outside the model's blocks or the run's steps
 */
export function planSharing(
  { kvShare, kvMode }: Pick<CheckedGenerateRequest, "kvShare" | "kvMode">,
  { sharing, dit }: Pick<ModelDescription, "sharing" | "dit">,
  numSteps: number,
  shot: Shot,
): SharingPlan | null {
  if (kvShare === "off") return null;
  if (typeof kvShare === "object") {
    checkRange("steps", kvShare.steps, numSteps, "the run");
    checkRange("blocks", kvShare.blocks, dit.numLayers, "the model");
    return { shot: null, steps: kvShare.steps, blocks: kvShare.blocks, mode: kvMode };
  }
  const chosen = kvShare === "auto" ? shot : kvShare;
  const { steps, blocks } = sharing[chosen];
  const lastStep = Math.min(steps[1], numSteps);
  if (steps[0] >= lastStep || blocks[0] >= blocks[1]) return null;
  return { shot: chosen, steps: [steps[0], lastStep], blocks, mode: kvMode };
}

/**
 * The sharing of a run: that of its request, if the prompt tells where the subject is.
 * @param notify told why `auto` shares nothing
 * @throws UserError when sharing was asked for by name and no subject is known
 */
export function chooseSharing(
  { request, sampling, model }: RunInputs,
  { plan, shot, prompt }: { readonly plan: Plan; readonly shot: Shot; readonly prompt: string },
  notify: (message: string) => void,
): SharingPlan | null {
  const numBases = plan.segments.filter(({ kind }) => kind !== "interpolated").length;
  const sharing = planSharing(request, model.description, sampling.numSteps, shot);
  if (!sharing || numBases < 2) return null;
  if (sharing.mode === "nomask" || model.subjectTokens(prompt, sampling.subject ?? undefined)) return sharing;
  const fault = `no word of the prompt "${prompt}" is known to stand for the person`;
  if (request.kvShare !== "auto") {
    throw new UserError(`kvShare: ${fault}; name it with subject, or take kvShare off`);
  }
  notify(`${fault}, so the segments share no background; name it with subject`);
  return null;
}

function checkRange(what: string, [from, to]: Range, count: number, owner: string): void {
  if (to <= count) return;
  throw new UserError(
    `kvShare.${what}: got ${from}..${to}; ${owner} has ${count}, so the range may end at ${count} at most`,
  );
}

/** How the anchor's keys are kept. */
export type KeyKeeping = Pick<SharingSite, "keyDType" | "keyFolder">;

/**
 * How a request wants the anchor's keys to be kept.
 * @param folder of the run's unfinished work
 */
export function keyKeeping(
  { kvPrecision, kvPlace }: Pick<CheckedGenerateRequest, "kvPrecision" | "kvPlace">,
  folder: string,
): KeyKeeping {
  return { keyDType: kvPrecision, ...(kvPlace === "disk" && { keyFolder: folder }) };
}

/** Where a plan shares, as the denoiser is told. */
export function siteOf({ mode, blocks }: SharingPlan, keeping: KeyKeeping = {}): SharingSite {
  return { ...keeping, mode, blocks: numbersOf(blocks) };
}

/** Whether a range holds a number. */
export function isWithin([from, to]: Range, value: number): boolean {
  return value >= from && value < to;
}

/** The numbers of a range. */
export function numbersOf([from, to]: Range): number[] {
  return Array.from({ length: to - from }, (_, i) => from + i);
}
