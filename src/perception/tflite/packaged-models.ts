import { open, readFile, stat } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { z } from "zod";
import { UserError } from "../../tensor/errors.ts";

const POSE_OUTPUTS = { landmarks: "Identity", score: "Identity_1", world: "Identity_4" } as const;
// The mask's branch takes a quarter of the time: a graph of its own, for when it is wanted.
const MASKED_POSE_OUTPUTS = { ...POSE_OUTPUTS, mask: "Identity_2" } as const;

/** TFLite models of the package @mediapipe/holistic that we use. */
export const PACKAGED_MODELS = {
  "pose-detector": { outputs: { boxes: "Identity", scores: "Identity_1" }, asset: "pose_detection" },
  "pose-lite": { outputs: POSE_OUTPUTS, file: "pose_landmark_lite.tflite" },
  "pose-full": { outputs: POSE_OUTPUTS, file: "pose_landmark_full.tflite" },
  "pose-heavy": { outputs: POSE_OUTPUTS, file: "pose_landmark_heavy.tflite" },
  "pose-lite-mask": { outputs: MASKED_POSE_OUTPUTS, file: "pose_landmark_lite.tflite" },
  "pose-full-mask": { outputs: MASKED_POSE_OUTPUTS, file: "pose_landmark_full.tflite" },
  "pose-heavy-mask": { outputs: MASKED_POSE_OUTPUTS, file: "pose_landmark_heavy.tflite" },
  hand: {
    outputs: { landmarks: "Identity", score: "Identity_1", rightness: "Identity_2", world: "Identity_3" },
    asset: "hand_landmark_full",
  },
  "palm-detector": { outputs: { boxes: "Identity", scores: "Identity_1" }, asset: "palm_detection_full" },
} as const satisfies Record<string, PackagedModel>;

export type ModelName = keyof typeof PACKAGED_MODELS;

interface PackagedModel {
  /** Outputs of the converted graph and their names in the file. */
  readonly outputs: Readonly<Record<string, string>>;
  /** Name of a file of the package … */
  readonly file?: string;
  /** … or of a model inside its archive. */
  readonly asset?: string;
}

const PACKAGE = "@mediapipe/holistic";
const ARCHIVE = "holistic_solution_packed_assets";

const ArchiveIndex = z.object({
  files: z.array(
    z.object({ filename: z.string(), start: z.int().nonnegative(), end: z.int().nonnegative() }),
  ),
});

/** Version of the installed package. Throws UserError when it is not installed. */
export async function packageVersion(): Promise<string> {
  const manifest = await readPackageFile("package.json");
  return z.object({ version: z.string() }).parse(JSON.parse(manifest.toString("utf8"))).version;
}

/** The TFLite file of a model. Throws UserError when the package is missing or incomplete. */
export async function readPackagedModel(name: ModelName): Promise<Uint8Array> {
  const { file, asset }: PackagedModel = PACKAGED_MODELS[name];
  return file === undefined ? readArchived(`/${asset}.tflite`) : readPackageFile(file);
}

/** A file of the package's archive, found by the end of its path. */
async function readArchived(path: string): Promise<Uint8Array> {
  const loader = await readPackageFile(`${ARCHIVE}_loader.js`);
  const entry = parseIndex(loader.toString("utf8")).find(({ filename }) => filename.endsWith(path));
  if (!entry) throw incomplete(`its archive has no ${path.slice(1)}`);
  const archive = packagePath(`${ARCHIVE}.data`);
  const handle = await open(archive, "r").catch((cause: unknown) => {
    throw incomplete(`${archive} cannot be read`, cause);
  });
  try {
    const { size } = await handle.stat();
    if (entry.start > entry.end || entry.end > size) throw incomplete(`${archive} is cut short`);
    const bytes = new Uint8Array(entry.end - entry.start);
    const { bytesRead } = await handle.read(bytes, 0, bytes.length, entry.start);
    if (bytesRead < bytes.length) throw incomplete(`${archive} is cut short`);
    return bytes;
  } finally {
    await handle.close();
  }
}

/** The archive's table of contents: JSON inside a script, which is read, never run. */
function parseIndex(script: string) {
  const json = /loadPackage\((\{"files":.*\})\)/.exec(script)?.[1];
  try {
    return ArchiveIndex.parse(JSON.parse(json ?? "")).files;
  } catch (cause) {
    throw incomplete("its archive has no readable index", cause);
  }
}

/** The largest file of the package that we read has 28 MB. */
const MAX_FILE_BYTES = 100e6;

async function readPackageFile(name: string): Promise<Buffer> {
  const path = packagePath(name);
  try {
    const { size } = await stat(path);
    if (size > MAX_FILE_BYTES) throw new Error(`it has ${size} bytes`);
    return await readFile(path);
  } catch (cause) {
    throw incomplete(`${path} cannot be read`, cause);
  }
}

function packagePath(name: string): string {
  try {
    return join(dirname(createRequire(import.meta.url).resolve(`${PACKAGE}/package.json`)), name);
  } catch (cause) {
    throw incomplete("it is not installed", cause);
  }
}

function incomplete(reason: string, cause?: unknown): UserError {
  return new UserError(
    `the npm package ${PACKAGE} is missing or damaged: ${reason}; install the dependencies again (npm ci)`,
    { cause },
  );
}
