/** What a dataset holds, and which file each clip lies in: `dataset.json` in its folder. */
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { UserError } from "../tensor/errors.ts";

export const DATASET_JSON = "dataset.json";

const FORMAT = 1;

const count = z.number().int().positive();
const dims = z.array(count).min(1).max(5).readonly();

/** Below the dataset's folder: an untrusted index must not choose what else is read. */
const file = z.string().regex(/^(?:[\w-]+\/)?[\w-]+\.safetensors$/);

/** Where a clip of a video came from. Times in seconds from the video's first frame. */
const videoSource = z.object({
  /** Path below the folder of videos. */
  video: z.string(),
  startS: z.number().nonnegative(),
  /** Time of the frame that became the reference. */
  referenceS: z.number().nonnegative(),
  /** True when the hands were left out of skeletons and hand normals, so that training learns to do without. */
  handsDropped: z.boolean(),
  /** Means over the clip: the person's box as a share of the picture, and the confidence of the head's points. */
  personArea: z.number(),
  headConfidence: z.number(),
});

/** Which clip of a series of rendered ones it is; the series stands in the settings. */
const avatarSource = z.object({ index: z.number().int().nonnegative() });

const clip = z.object({
  file,
  /** Position along the first axis of the file's tensors. */
  at: z.number().int().nonnegative(),
  caption: z.string(),
  source: z.union([videoSource, avatarSource]),
});

/** What was not taken, and why. */
const rejection = z.object({
  video: z.string(),
  /** Start of the clip; null when it is the whole video. */
  startS: z.number().nonnegative().nullable(),
  reason: z.string(),
});

const indexSchema = z.object({
  format: z.literal(FORMAT),
  kind: z.enum(["video", "avatar"]),
  /** Hash of everything that turns pictures and words into the stored numbers: encoders, tokenizer, drawing. */
  fingerprint: z.string(),
  /** Of every clip: pixels, frames per second, 4k + 1 frames. */
  width: count,
  height: count,
  fps: z.number().positive(),
  numFrames: count,
  /** Frames at either end whose picture replaces skeleton and hand normals (phase 2); 0 elsewhere. */
  headFrames: z.number().int().nonnegative(),
  tailFrames: z.number().int().nonnegative(),
  /** Of the fields of a `TrainingClip`. */
  shapes: z.object({
    video: dims,
    pose: dims,
    hand: dims,
    reference: dims,
    person: dims,
    tokens: dims,
    image: dims,
  }),
  /** All other settings it was made with, by name. */
  settings: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])),
  clips: z.array(clip),
  rejected: z.array(rejection),
});

/** Contents of `dataset.json`. */
export type DatasetIndex = z.infer<typeof indexSchema>;
export type DatasetClip = z.infer<typeof clip>;
export type Rejection = z.infer<typeof rejection>;

/** A million clips. */
const MAX_INDEX_BYTES = 512e6;

/** The index of a dataset. @throws UserError when the folder has none, or a malformed one */
export async function readDatasetIndex(folder: string): Promise<DatasetIndex> {
  const path = join(folder, DATASET_JSON);
  const found = await stat(path).catch(() => null);
  if (!found?.isFile()) {
    throw new UserError(
      `${folder} is no finished dataset: it has no ${DATASET_JSON}. ` +
        "Make one with `posegen dataset build` or `posegen dataset render`; a run that was stopped goes on.",
    );
  }
  if (found.size > MAX_INDEX_BYTES) throw new UserError(`${path} is larger than ${MAX_INDEX_BYTES} bytes`);
  return parseDatasetIndex(await readFile(path, "utf8"), path);
}

function parseDatasetIndex(text: string, path: string): DatasetIndex {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new UserError(`${path} is not JSON: ${(cause as Error).message}`, { cause });
  }
  const result = indexSchema.safeParse(value);
  if (result.success) return result.data;
  throw new UserError(`${path} does not describe a dataset:\n${z.prettifyError(result.error)}`);
}

/** The text of `dataset.json`. Equal indexes give the same bytes. */
export function datasetJson(index: Omit<DatasetIndex, "format">): string {
  // Parsing puts the fields in the schema's order.
  const { clips, rejected, ...rest } = indexSchema.parse({ format: FORMAT, ...index });
  const list = (entries: readonly unknown[]): string =>
    entries.length === 0 ? "[]" : `[\n  ${entries.map((entry) => JSON.stringify(entry)).join(",\n  ")}\n ]`;
  const head = JSON.stringify(rest, null, 1).replace(/\n\}$/, "");
  return `${head},\n "clips": ${list(clips)},\n "rejected": ${list(rejected)}\n}\n`;
}
