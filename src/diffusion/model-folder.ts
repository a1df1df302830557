/**
 * A model on disk: `model.json` and the weights beside it. The embedded model is such a folder, and so is what the
 * trainer writes.
 */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { type ClipVisionConfig } from "../models/clip-vision/config.ts";
import { type Umt5Config } from "../models/umt5/config.ts";
import { type WanDiTConfig } from "../models/wan-dit/config.ts";
import { type WanVaeConfig } from "../models/wan-vae/config.ts";
import { withBlocks } from "../runtime/block-wise-checkpoint.ts";
import { type Checkpoint } from "../runtime/safetensors.ts";
import { openCheckpoint } from "../runtime/checkpoint.ts";
import { readJson } from "../runtime/read-json.ts";
import { describeFault } from "../runtime/strict-json.ts";
import { UserError } from "../tensor/errors.ts";
import { checkDescription } from "./check-description.ts";
import { type LoraChoice } from "./lora-choice.ts";
import { type LoraFile, loraFrom } from "./lora-file.ts";

/** Names of the files beside `model.json`. */
export const MODEL_FILES = {
  dit: "dit.safetensors",
  phase1: "phase1.safetensors",
  phase2: "phase2.safetensors",
  vae: "vae.safetensors",
  textEncoder: "text-encoder.safetensors",
  imageEncoder: "image-encoder.safetensors",
} as const;

export type ModelPart = keyof typeof MODEL_FILES;

export const MODEL_JSON = "model.json";
export const TOKENIZER_JSON = "tokenizer.json";

const count = z.number().int().positive();
const side = z.object({ dim: count, dimMult: z.array(z.number().positive()), numResBlocks: count });

const ditSchema = z.object({
  dim: count,
  numHeads: count,
  ffnDim: count,
  numLayers: count,
  textDim: count,
  imageDim: count.nullable(),
  freqDim: count,
  inDim: count,
  outDim: count,
  patchSize: z.tuple([count, count, count]),
  eps: z.number().positive(),
  ropeTheta: z.number().positive(),
  shiftRefPos: z.boolean(),
  hand: z.enum(["none", "conv", "conv+proj"]),
}) satisfies z.ZodType<WanDiTConfig>;

const vaeSchema = z.object({
  encoder: side,
  decoder: side,
  zDim: count,
  temporalDownsample: z.array(z.boolean()),
  latentMean: z.array(z.number()),
  latentStd: z.array(z.number().positive()),
}) satisfies z.ZodType<WanVaeConfig>;

const textEncoderSchema = z.object({
  vocabSize: count,
  dim: count,
  attentionDim: count,
  numHeads: count,
  ffnDim: count,
  numLayers: count,
  numBuckets: count,
  maxDistance: count,
  eps: z.number().positive(),
}) satisfies z.ZodType<Umt5Config>;

const imageEncoderSchema = z.object({
  imageSize: count,
  patchSize: count,
  dim: count,
  numHeads: count,
  ffnDim: count,
  numLayers: count,
  eps: z.number().positive(),
}) satisfies z.ZodType<ClipVisionConfig>;

/** Range of denoising steps or of blocks: start <= i < end. */
const range = z.tuple([z.number().int().nonnegative(), z.number().int().nonnegative()]);

const modelSchema = z.object({
  /** Layout of this file. */
  format: z.literal(1),
  name: z.string(),
  dit: ditSchema,
  vae: vaeSchema,
  textEncoder: textEncoderSchema,
  imageEncoder: imageEncoderSchema,
  /** Tokens of a prompt, padding included. */
  textTokens: count,
  /** What the model was trained for, and the defaults of `generate`. */
  defaults: z.object({
    width: count,
    height: count,
    fps: count,
    /** 4k + 1 frames of a segment. */
    segmentFrames: count,
    steps: count,
    guidanceScale: z.number().positive(),
    shift: z.number().positive(),
    negativePrompt: z.string(),
  }),
  skeleton: z.object({
    style: z.enum(["published", "scaled"]),
    channelOrder: z.enum(["palette", "published"]),
  }),
  /** Background sharing by shot: early steps and deep blocks (method section 5). */
  sharing: z.record(
    z.enum(["close-up", "half-body", "full-body", "distant"]),
    z.object({ steps: range, blocks: range }),
  ),
  /** Last block whose attention maps make the subject mask. */
  maxMapBlock: z.number().int().nonnegative(),
  /** LoRAs beside this file that belong to the model, merged in order over both phases' own. */
  loras: z
    .array(
      z.object({
        file: z.string().regex(/^[\w-][\w.-]*$/, "expected the name of a file or folder beside model.json"),
        weight: z.number().default(1),
      }),
    )
    .optional(),
});

/** Contents of `model.json`. */
export type ModelDescription = z.infer<typeof modelSchema>;

/** Checks a description, e.g. before it is written. @throws UserError naming the fields at fault */
export function parseModelDescription(value: unknown, where: string): ModelDescription {
  const result = modelSchema.safeParse(value);
  if (result.success) {
    checkDescription(result.data, where);
    return result.data;
  }
  throw new UserError(`${where} does not describe a model: ${describeFault(result.error)}`);
}

/** Largest `model.json` read; real ones have a few kilobytes. */
const MAX_DESCRIPTION_BYTES = 1 << 20;
const MAX_DEPTH = 8;

/** An opened model folder. Weights are read when asked for. */
export interface ModelFolder {
  readonly path: string;
  readonly description: ModelDescription;
  readonly tokenizerPath: string;
  /** The description's LoRAs with their paths. */
  readonly loras: readonly LoraChoice[];
  /** The denoiser's frozen weights in the file of each phase, where both files hold them too; else empty. */
  readonly frozen: readonly Checkpoint[];
  /** Header and tensors of one part. @throws UserError when the file is missing or malformed */
  open(part: ModelPart): Promise<Checkpoint>;
  /** What a phase changes in the denoiser. @throws UserError when the file is missing or malformed */
  openPhase(phase: "phase1" | "phase2"): Promise<LoraFile>;
  /** Every file of the model, the description's LoRAs apart, by a name that does not depend on where it lies. */
  files(): Promise<ReadonlyMap<string, string>>;
}

/**
 * Opens a model: a folder with `model.json`, a folder of published files, or a JSON file that names the parts of a
 * published model (see `openPublishedModel`).
 * @throws UserError when it is missing, incomplete or malformed
 */
export async function openModelFolder(path: string): Promise<ModelFolder> {
  const found = await stat(path).catch((cause: Error) => {
    throw new UserError(`${path} is not a model folder: it cannot be read (${cause.message})`, { cause });
  });
  const file = join(path, MODEL_JSON);
  const isOwn = found.isDirectory() && (await stat(file).catch(() => null)) !== null;
  if (!isOwn) return (await import("./layouts/published-model.ts")).openPublishedModel(path);
  const value = await readJson(file, { bytes: MAX_DESCRIPTION_BYTES, depth: MAX_DEPTH });
  const description = parseModelDescription(value, file);
  const names = [MODEL_JSON, TOKENIZER_JSON, ...Object.values(MODEL_FILES)];
  return {
    path,
    description,
    loras: (description.loras ?? []).map((lora) => ({ path: join(path, lora.file), weight: lora.weight })),
    tokenizerPath: join(path, TOKENIZER_JSON),
    frozen: [],
    open: async (part) => withBlocks(await openCheckpoint(join(path, MODEL_FILES[part]))),
    openPhase: async (phase) => {
      const finetuning = join(path, MODEL_FILES[phase]);
      return loraFrom(await openCheckpoint(finetuning), finetuning);
    },
    files: async () => new Map(names.map((name) => [name, join(path, name)])),
  };
}
