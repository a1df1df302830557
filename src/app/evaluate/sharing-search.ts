/** Searches the steps and blocks in which a model should share the anchor's background, by measuring. */
import { openModelFolder } from "../../diffusion/model-folder.ts";
import { planSharing } from "../../pipeline/sharing-plan.ts";
import type { EvaluationOptions } from "./evaluate.ts";
import { clipStep, hashModel, openWork } from "./evaluation-folder.ts";
import { type Figures, type SharingMetric, meanFigures } from "./figures.ts";
import { type GenerationOptions, generateVideos } from "./generated-video.ts";
import { type HeldOutClip, renderHeldOutClip } from "./held-out-clip.ts";
import { inJobs } from "./jobs.ts";
import { sharingFigures } from "./segment-figures.ts";
import { FPS, heldOutSeries } from "./series.ts";

/** Denoising steps and blocks that share. */
export interface SharingRanges {
  /** From the first to before the second. */
  readonly steps: [from: number, to: number];
  readonly blocks: [from: number, to: number];
}

/** Shares of all steps (from the first on) and of all blocks (to the last) that the paper's presets lie between. */
const STEP_SHARES = [0.04, 0.08, 0.16, 0.5];
const BLOCK_SHARES = [0.15, 0.25, 0.5];

/** Early steps by deep blocks, in the paper's proportions and beyond; equal ones once. */
export function candidateRanges(numSteps: number, numBlocks: number): SharingRanges[] {
  const counts = (shares: readonly number[], of: number): number[] => [
    ...new Set(shares.map((share) => Math.max(1, Math.round(share * of)))),
  ];
  return counts(STEP_SHARES, numSteps).flatMap((steps) =>
    counts(BLOCK_SHARES, numBlocks).map((blocks): SharingRanges => ({
      steps: [0, steps],
      blocks: [numBlocks - blocks, numBlocks],
    })),
  );
}

/** As `--kv-share` takes it. */
export function rangesText({ steps, blocks }: SharingRanges): string {
  return `${steps.join("..")}:${blocks.join("..")}`;
}

export interface SharingSearchOptions extends Omit<
  EvaluationOptions,
  "numTrainingClips" | "poseStep" | "poseQuality" | "onClip"
> {
  /** By default `candidateRanges` of the model. */
  readonly ranges?: readonly SharingRanges[] | undefined;
  readonly onClip?: (numFinished: number) => void;
}

/** Figures of one clip: of what sharing off and each candidate give over the same noise, by `rangesText`. */
export type SharingSearchClip = Readonly<Record<string, Figures<SharingMetric>>>;

/** Name of the candidate that shares nothing. */
export const OFF = "off";

export interface SharingSearch {
  readonly model: string;
  readonly modelHash: string;
  readonly settings: Readonly<Record<string, number | string>>;
  readonly clips: readonly SharingSearchClip[];
}

/** Changes whenever the same settings would give other figures. */
const SEARCH_VERSION = 1;

/**
 * Generates the held-out clips with sharing off and with each candidate. Finished clips are kept.
 * @throws UserError for ranges outside the model or its steps; the signal's reason when it is aborted
 */
export async function searchSharing(options: SharingSearchOptions): Promise<SharingSearch> {
  const { model, numClips, seed } = options;
  const { description } = await openModelFolder(model);
  const { dit, defaults } = description;
  const steps = options.steps ?? defaults.steps;
  const ranges = options.ranges ?? candidateRanges(steps, dit.numLayers);
  // Ranges that do not fit are found before anything is generated.
  for (const kvShare of ranges) planSharing({ kvShare, kvMode: "paper" }, description, steps, "full-body");
  const series = heldOutSeries(description);
  const modelHash = await hashModel(model);
  const { width, height, numFrames } = series;
  const candidates = ranges.map(rangesText);
  const settings = {
    version: SEARCH_VERSION,
    width,
    height,
    fps: FPS,
    numFrames,
    segmentFrames: defaults.segmentFrames,
    steps,
    guidanceScale: defaults.guidanceScale,
    seed,
    candidates: candidates.join(" "),
  };
  const work = await openWork(options.work, { modelHash, ...settings });
  const generation = { model, seed, steps, fps: FPS, threads: 1 };
  try {
    let numFinished = 0;
    const openJob = async () => ({ tools: generation, release: async () => {} });
    const clips = await inJobs(options, openJob, async (index, tools, signal) => {
      const clip = await clipStep(work, "sharing", index, () =>
        measureClip(renderHeldOutClip(series, index), candidates, { ...tools, signal }),
      );
      options.onClip?.(++numFinished);
      return clip;
    });
    return { model: description.name, modelHash, settings: { numClips, ...settings }, clips };
  } finally {
    await work.close();
  }
}

async function measureClip(
  clip: HeldOutClip,
  candidates: readonly string[],
  options: GenerationOptions & { fps: number; signal: AbortSignal },
): Promise<SharingSearchClip> {
  // Folders are named after the videos: no colons.
  const names = [OFF, ...candidates];
  const videos = await generateVideos(
    clip,
    Object.fromEntries(names.map((kvShare, i) => [`candidate-${i}`, kvShare])),
    options,
  );
  return Object.fromEntries(
    names.map((name, i) => {
      const { frames, plan } = videos[`candidate-${i}`]!;
      return [name, sharingFigures(frames, clip.frames, clip.coverage, plan)];
    }),
  );
}

/** A candidate in the mean over the clips. */
export interface SharingCandidate {
  /** `off`, or ranges as `--kv-share` takes them. */
  readonly name: string;
  readonly means: Figures<SharingMetric>;
  /** Clips whose background differs less between segments than without sharing. */
  readonly numBetter: number;
}

/** All candidates, `off` first. */
export function candidatesOf({ clips }: SharingSearch): SharingCandidate[] {
  const driftOf = (clip: SharingSearchClip, name: string): number => clip[name]?.backgroundDrift ?? Infinity;
  return Object.keys(clips[0] ?? {}).map((name) => ({
    name,
    means: meanFigures(clips.map((clip) => clip[name]!)),
    numBetter: clips.filter((clip) => driftOf(clip, name) < driftOf(clip, OFF)).length,
  }));
}

/**
 * The candidate to take: of those that do not raise the person's error and bring backgrounds nearer on more than half
 * of the clips, the one whose backgrounds differ least between segments; `off` when there is none.
 */
export function recommend(search: SharingSearch): SharingCandidate {
  const [off, ...others] = candidatesOf(search) as [SharingCandidate, ...SharingCandidate[]];
  const isHarmless = ({ means }: SharingCandidate): boolean =>
    (means.personL1 ?? Infinity) <= (off.means.personL1 ?? Infinity);
  const drift = ({ means }: SharingCandidate): number => means.backgroundDrift ?? Infinity;
  return others
    .filter((candidate) => isHarmless(candidate) && 2 * candidate.numBetter > search.clips.length)
    .reduce((best, candidate) => (drift(candidate) < drift(best) ? candidate : best), off);
}
