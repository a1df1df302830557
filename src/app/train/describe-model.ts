/** The `model.json` of a trained model. */
import { type ModelDescription, parseModelDescription } from "../../diffusion/model-folder.ts";
import type { WanVaeConfig } from "../../models/wan-vae/config.ts";
import { SHOTS, type Shot } from "../../pipeline/request.ts";
import type { DenoiserConfig } from "./config.ts";
import type { ModelSource } from "./model-source.ts";

export interface DescribedModel {
  readonly name: string;
  readonly source: ModelSource;
  readonly vae: WanVaeConfig;
  readonly size: { readonly width: number; readonly height: number; readonly fps: number };
  /** Settings of the training that segments are like: their length, the schedule, how samples are generated. */
  readonly config: Pick<DenoiserConfig, "stages" | "shift" | "generation">;
}

/** Steps and blocks of background sharing by shot, of 25 steps and 40 blocks (method section 5). */
const PUBLISHED_SHARING = {
  "close-up": { steps: 1, blocks: 6 },
  "half-body": { steps: 2, blocks: 6 },
  "full-body": { steps: 4, blocks: 8 },
  distant: { steps: 4, blocks: 10 },
} as const;
const PUBLISHED_STEPS = 25;
const PUBLISHED_BLOCKS = 40;

/**
 * Describes a trained model. One that was trained from a model folder keeps that one's description but for the defaults
 * that the training has changed.
 */
export function describeModel({ name, source, vae, size, config }: DescribedModel): ModelDescription {
  const { steps, guidanceScale, negativePrompt, sharing } = config.generation;
  const { width, height, fps } = size;
  const segmentFrames = 4 * config.stages.at(-1)!.latentFrames - 3;
  const learnt = { width, height, fps, segmentFrames, shift: config.shift };
  const given = source.folder?.description;
  if (given)
    return parseModelDescription({ ...given, name, defaults: { ...given.defaults, ...learnt } }, name);
  const { models, textTokens } = source;
  const defaults = { ...learnt, steps, guidanceScale, negativePrompt };
  return parseModelDescription(
    {
      format: 1,
      name,
      ...models,
      vae,
      textTokens,
      defaults,
      skeleton: { style: "scaled", channelOrder: "palette" },
      sharing: sharing ? inEveryShot(sharing) : sharingPresets(models.dit.numLayers, steps),
      maxMapBlock: Math.round(models.dit.numLayers / 4),
    },
    name,
  );
}

/** The published presets at another depth and number of steps: the same shares, and at least one of each. */
function sharingPresets(numBlocks: number, numSteps: number): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(PUBLISHED_SHARING).map(([shot, { steps, blocks }]) => {
      const lastBlocks = Math.max(1, Math.round((blocks * numBlocks) / PUBLISHED_BLOCKS));
      const firstSteps = Math.ceil((steps * numSteps) / PUBLISHED_STEPS);
      return [shot, { steps: [0, firstSteps], blocks: [numBlocks - lastBlocks, numBlocks] }];
    }),
  );
}

/** The same steps and blocks, as a search of them has found. */
function inEveryShot<T>(ranges: T): Record<Shot, T> {
  return Object.fromEntries(SHOTS.map((shot) => [shot, ranges])) as Record<Shot, T>;
}
