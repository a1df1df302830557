/** What a caller asks for: one schema for the library, the command line and the server. */
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { loraChoice } from "../diffusion/lora-choice.ts";
import { ALIGNMENTS } from "../perception/alignment-plan.ts";
import { UserError } from "../tensor/errors.ts";

/** The model that comes with the package. */
export const EMBEDDED_MODEL = fileURLToPath(new URL("../../weights/posegen-mini", import.meta.url));

/** Both sides of a video are multiples of this: 8 pixels per latent, 2 latents per token. */
export const SIZE_STEP = 16;

const MAX_SIDE = 4096;

/** How much of a person is seen: presets of background sharing are named after it. */
export const SHOTS = ["close-up", "half-body", "full-body", "distant"] as const;

export type Shot = (typeof SHOTS)[number];

const path = z.string().min(1, "expected a path");

/** "128x192" (width x height) or { width, height }. */
export const sizeSchema = z
  .union(
    [
      z
        .string()
        .regex(/^\d{1,5}x\d{1,5}$/)
        .transform((text) => {
          const [width, height] = text.split("x").map(Number) as [number, number];
          return { width, height };
        }),
      z.strictObject({ width: z.number().int().positive(), height: z.number().int().positive() }),
    ],
    { error: 'expected "WIDTHxHEIGHT" in pixels, such as 128x192' },
  )
  .superRefine(({ width, height }, context) => {
    if (width % SIZE_STEP === 0 && height % SIZE_STEP === 0 && Math.max(width, height) <= MAX_SIDE) return;
    context.addIssue({
      code: "custom",
      message:
        `got ${width}x${height}; both sides must be multiples of ${SIZE_STEP}, at most ${MAX_SIDE}: ` +
        `take ${nearest(width)}x${nearest(height)}`,
    });
  });

/** The nearest side that a video can have. */
function nearest(side: number): number {
  return Math.min(MAX_SIDE, Math.max(SIZE_STEP, Math.round(side / SIZE_STEP) * SIZE_STEP));
}

const range = z
  .tuple([z.number().int().nonnegative(), z.number().int().nonnegative()])
  .refine(([from, to]) => from < to, "expected [from, to] with from < to (to itself is left out)");

/** Explicit sharing: denoising steps and blocks, each from <= i < to. Also written "0..2:4..8". */
export const sharingRanges = z.union([
  z.strictObject({ steps: range, blocks: range }),
  z
    .string()
    .regex(/^\d{1,4}\.\.\d{1,4}:\d{1,4}\.\.\d{1,4}$/)
    .transform((text) => {
      const [steps, blocks] = text.split(":").map((part) => part.split("..").map(Number));
      return { steps, blocks };
    })
    .pipe(z.strictObject({ steps: range, blocks: range })),
]);

const kvShare = z.union([z.enum(["auto", "off", ...SHOTS]), sharingRanges], {
  error:
    `expected auto, off, ${SHOTS.join(", ")}, or ranges of steps and blocks such as "0..2:4..8" ` +
    "(steps 0 and 1, blocks 4 to 7)",
});

const MAX_EYES = 16;

const PERSON = 'expected a number from 1 on, or "X,Y": a pixel on the person';

/** A number, also as text, or a place: "X,Y" or { x, y } in pixels of the driving video. */
const person = z.union(
  [
    z.number().int().positive(),
    z.strictObject({ x: z.number().nonnegative(), y: z.number().nonnegative() }),
    z
      .string()
      .regex(/^[1-9]\d{0,2}$/)
      .transform(Number),
    z
      .string()
      .regex(/^\d{1,5},\d{1,5}$/)
      .transform((text) => {
        const [x, y] = text.split(",").map(Number) as [number, number];
        return { x, y };
      }),
  ],
  { error: PERSON },
);

/** ONNX models to see people with, recognised by their shapes: files, or folders of them. */
export const eyesSchema = z.array(path).max(MAX_EYES, `expected at most ${MAX_EYES} paths`).default([]);

const RATES = "expected frames per second, more than 0 and at most 120, or source";

/** What decides how the driving video is seen; `prepare` needs no more. */
const driving = {
  /** The driving video. */
  video: path.optional(),
  /** Whom of several people in the driving video to follow: a number as `prepare` lists them, or a place. */
  person: person.optional(),
  eyes: eyesSchema,
  /** Poses in place of those found in the video: a file as `prepare` writes it. */
  keypoints: path.optional(),
  /** Model folder. */
  model: path.default(EMBEDDED_MODEL),
  /** Width and height of the result; by default the model's. */
  size: sizeSchema.optional(),
  /**
   * Frames per second of the result, by default the model's; `source` keeps the driving video's. The driving video is
   * resampled by time.
   */
  fps: z.union([z.number().positive().max(120), z.literal("source")], { error: RATES }).optional(),
  /** The part of the driving video to use, in seconds from its first frame; its sound is cut with it. */
  start: z.number().nonnegative().optional(),
  end: z.number().positive().optional(),
  /**
   * How the motion is fitted to the person of the reference: not at all, moved and scaled, or given that person's bone
   * lengths too. `auto`: `bones` where size, place or proportions differ, `off` where they do not.
   */
  align: z.enum(["auto", ...ALIGNMENTS]).default("auto"),
};

const WITHOUT_DRIVER = {
  error: "expected a driving video, or a file of keypoints",
  path: ["video"],
};

const hasDriver = (request: { video?: string | undefined; keypoints?: string | undefined }): boolean =>
  request.video !== undefined || request.keypoints !== undefined;

const WITHOUT_LENGTH = { error: "expected an end behind the start", path: ["end"] };

const hasLength = ({ start = 0, end }: { start?: number | undefined; end?: number | undefined }): boolean =>
  end === undefined || end > start;

const WITHOUT_VIDEO = { error: "expected a driving video to take a part of", path: ["start"] };

const hasPart = (request: {
  video?: string | undefined;
  start?: number | undefined;
  end?: number | undefined;
}): boolean => request.video !== undefined || (request.start ?? request.end) === undefined;

const URLS = "expected an http or https address without a user name, such as http://localhost:11434/v1";

const captionUrl = z
  .url({ protocol: /^https?$/, error: URLS })
  .refine((text) => new URL(text).username === "" && new URL(text).password === "", URLS);

const WITHOUT_MODEL = { error: "captionUrl and captionModel belong together", path: ["captionUrl"] };

const hasCaptionModel = (request: {
  captionUrl?: string | undefined;
  captionModel?: string | undefined;
}): boolean => (request.captionUrl === undefined) === (request.captionModel === undefined);

const ANCHORS = "expected auto, or the index of a base segment: 0, 2, 4, ...";

/** A segment is held in memory. */
const MAX_SEGMENT_FRAMES = 1025;

const MAX_LORAS = 32;

const positiveInt = z.number().int().positive();

/** A request of `generate`. Options left out take the model's defaults. */
export const generateRequestSchema = z
  .strictObject({
    ...driving,
    /** The reference image: who is to move, and where. */
    image: path,
    /** The MP4 to write. */
    out: path.regex(/\.mp4$/i, "expected a path that ends in .mp4"),
    /** What the video shows. */
    prompt: z.string().trim().min(1).optional(),
    /**
     * Where no prompt is given: base address of an OpenAI-compatible endpoint, such as http://localhost:11434/v1, whose
     * image-language model `captionModel` is sent the reference and describes it. The environment variable
     * POSEGEN_CAPTION_KEY holds its key. Nothing is sent to anybody without it.
     */
    captionUrl: captionUrl.optional(),
    captionModel: z.string().trim().min(1).optional(),
    /** What it must not show; used where guidanceScale is not 1. */
    negativePrompt: z.string().optional(),
    /** The words of the prompt that stand for the person; found by themselves where they are common ones. */
    subject: z.string().trim().min(1).optional(),
    seed: z
      .number()
      .int()
      .min(0)
      .max(2 ** 32 - 1)
      .default(0),
    /** LoRAs to merge in order over both phases' own finetuning: `{ path, weight }`, or "FILE" or "FILE:WEIGHT". */
    loras: z.array(loraChoice).max(MAX_LORAS, `expected at most ${MAX_LORAS} LoRAs`).default([]),
    /** Denoising steps. */
    steps: positiveInt.max(1000).optional(),
    /** Weight of the prompt (classifier-free guidance); 1 = no guidance, in half the time. */
    guidanceScale: z.number().positive().max(100).optional(),
    /** Frames of a segment, 4k + 1. */
    segmentFrames: positiveInt.max(MAX_SEGMENT_FRAMES).optional(),
    /** Frames that an interpolated segment keeps of the one before it, 4a + 1. */
    headFrames: positiveInt.optional(),
    /** Frames that it keeps of the one after it, 4b. */
    tailFrames: z.number().int().nonnegative().optional(),
    /** Where background keys and values are shared: by shot, in explicit ranges, or not at all. */
    kvShare: kvShare.default("auto"),
    /** Which tokens share; `paper` by Eq. 5-6, `official` as the published code comes out. */
    kvMode: z.enum(["paper", "paper-ref-own", "official", "nomask"]).default("paper"),
    /** What the anchor's keys and values are kept in. */
    kvPrecision: z.enum(["float16", "int8"]).default("float16"),
    /** Where they are kept: in memory, or in the work directory, from where each evaluation reads them. */
    kvPlace: z.enum(["memory", "disk"]).default("memory"),
    /** Segment whose background the others share: an even number. `auto`: the one that is stillest in the driving video. */
    anchor: z
      .union([z.literal("auto"), z.number().int().nonnegative().multipleOf(2, ANCHORS)], { error: ANCHORS })
      .default("auto"),
    /** Whether the VAE works in tiles; auto does so where whole frames would take too much memory. */
    vaeTiling: z.enum(["auto", "on", "off"]).default("auto"),
    /** Blocks of the denoiser that are in memory at a time: a number, all, or auto, by size and free memory. */
    blocksPerStage: z
      .union([z.enum(["auto", "all"]), positiveInt], { error: "expected auto, all, or a number of blocks" })
      .default("auto"),
    device: z.string().default("cpu"),
    precision: z.string().default("auto"),
    /** Threads inside one operation of the CPU. */
    threads: positiveInt.max(256).optional(),
    /** Folder of unfinished work; by default `<out>.work`, removed in the end. A folder given here is kept. */
    workDir: path.optional(),
    /** True goes on with the work found there, false starts again. */
    resume: z.boolean().default(true),
  })
  .refine(hasCaptionModel, WITHOUT_MODEL)
  .refine(hasDriver, WITHOUT_DRIVER)
  .refine(hasLength, WITHOUT_LENGTH)
  .refine(hasPart, WITHOUT_VIDEO);

/** A request of `prepare`: conditions only. */
export const prepareRequestSchema = z
  .strictObject({
    ...driving,
    /** A reference image to fit the motion to. */
    image: path.optional(),
    /** The folder to write into. */
    out: path,
  })
  .refine(hasDriver, WITHOUT_DRIVER)
  .refine(hasLength, WITHOUT_LENGTH)
  .refine(hasPart, WITHOUT_VIDEO);

export type GenerateRequest = z.input<typeof generateRequestSchema>;
export type PrepareRequest = z.input<typeof prepareRequestSchema>;

/** A checked request, defaults of the schema filled in. */
export type CheckedGenerateRequest = z.output<typeof generateRequestSchema>;
export type CheckedPrepareRequest = z.output<typeof prepareRequestSchema>;

/** The folder of a request's unfinished work. */
export function workDirOf({ workDir, out }: CheckedGenerateRequest): string {
  return workDir ?? `${out}.work`;
}

/** @throws UserError naming every option at fault */
export function checkGenerateRequest(request: unknown): CheckedGenerateRequest {
  return checkOptions(generateRequestSchema, request);
}

/** @throws UserError naming every option at fault */
export function checkPrepareRequest(request: unknown): CheckedPrepareRequest {
  return checkOptions(prepareRequestSchema, request);
}

/** Checks the options of a call. @throws UserError naming every one at fault */
export function checkOptions<T>(schema: z.ZodType<T>, request: unknown): T {
  const result = schema.safeParse(request);
  if (result.success) return result.data;
  const faults = result.error.issues.map(
    ({ path: where, message }) => `${where.join(".") || "request"}: ${message}`,
  );
  throw new UserError(faults.join("\n"));
}
