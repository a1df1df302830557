/** What the makers of datasets are asked for. */
import { availableParallelism } from "node:os";
import { z } from "zod";
import type { ModelDescription } from "../../diffusion/model-folder.ts";
import { EMBEDDED_MODEL, eyesSchema, sizeSchema } from "../../pipeline/request.ts";
import { DEFAULT_PROMPT } from "../../pipeline/settings.ts";
import { UserError } from "../../tensor/errors.ts";

/** Half of the cores: a worker keeps about two of them busy. */
export const DEFAULT_WORKERS = Math.max(1, Math.floor(availableParallelism() / 2));

const share = z.number().min(0).max(1);

/** What every dataset is made with. */
const common = {
  /** Its VAE, tokenizer and drawing of skeletons are used; the other weights may be missing. */
  model: z.string().min(1).default(EMBEDDED_MODEL),
  out: z.string().min(1),
  /** Of the clips; by default the model's. */
  size: sizeSchema.optional(),
  /** 4k + 1 frames of a clip; by default the model's segment. */
  numFrames: z.number().int().positive().max(1025).optional(),
  /** Frames at either end whose picture replaces skeleton and hand normals (phase 2): 4a + 1 and 4b. */
  headFrames: z.number().int().nonnegative().default(0),
  tailFrames: z.number().int().nonnegative().default(0),
  numWorkers: z.number().int().positive().max(256).default(DEFAULT_WORKERS),
};

export const buildRequestSchema = z.strictObject({
  ...common,
  /** Folder of videos; those in folders below it count too. */
  videos: z.string().min(1),
  /** By default the model's. */
  fps: z.number().positive().max(120).optional(),
  /** Of videos without a text of their own beside them. */
  caption: z.string().trim().min(1).default(DEFAULT_PROMPT),
  minPersonArea: share.default(0.3),
  minHeadConfidence: share.default(0.75),
  dropHands: share.default(0),
  quality: z.enum(["lite", "full", "heavy"]).default("heavy"),
  eyes: eyesSchema,
});

export const renderRequestSchema = z.strictObject({
  ...common,
  /** Clips of two series never show the same person, place or dance. */
  series: z.string().min(1).max(200),
  world: z.enum(["easy", "varied"]).default("varied"),
  numClips: z.number().int().positive().max(1_000_000),
});

export type BuildRequest = z.input<typeof buildRequestSchema>;
export type RenderRequest = z.input<typeof renderRequestSchema>;

/** Sizes of every clip of a dataset. */
export interface ClipSizes {
  readonly width: number;
  readonly height: number;
  readonly numFrames: number;
  readonly headFrames: number;
  readonly tailFrames: number;
}

/** @throws UserError when the lengths do not fit the VAE's groups of frames */
export function clipSizes(
  request: Pick<z.output<typeof renderRequestSchema>, "size" | "numFrames" | "headFrames" | "tailFrames">,
  { defaults }: ModelDescription,
): ClipSizes {
  const { width, height } = request.size ?? defaults;
  const { numFrames = defaults.segmentFrames, headFrames, tailFrames } = request;
  if (numFrames % 4 !== 1) {
    throw new UserError(
      `numFrames: got ${numFrames}; expected 4k + 1, such as ${numFrames - (numFrames % 4) + 1}`,
    );
  }
  if (
    (headFrames !== 0 && headFrames % 4 !== 1) ||
    tailFrames % 4 !== 0 ||
    headFrames + tailFrames > numFrames
  ) {
    throw new UserError(
      `headFrames, tailFrames: got ${headFrames} and ${tailFrames} of ${numFrames}; expected 0 or 4a + 1, and 4b, ` +
        "which fit into the clip together",
    );
  }
  return { width, height, numFrames, headFrames, tailFrames };
}
