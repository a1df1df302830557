/** A request with everything decided: the model's defaults filled in, inputs identified by their content. */
import { readFile, realpath, stat } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { resolve } from "node:path";
import { int8Path } from "../diffusion/int8-file.ts";
import { type LoraChoice } from "../diffusion/lora-choice.ts";
import { openLora } from "../diffusion/lora-file.ts";
import { type ModelDescription, openModelFolder } from "../diffusion/model-folder.ts";
import type { Placement } from "../diffusion/placement.ts";
import { listModelFiles } from "../perception/onnx/open-models.ts";
import { resolveDevice, resolvePrecision } from "../runtime/devices.ts";
import { UserError } from "../tensor/errors.ts";
import { planSegments } from "./plan.ts";
import type { CheckedGenerateRequest } from "./request.ts";
import { VAE_TILING } from "./vae-tiling.ts";
import { type RunSettings, hashFile } from "./work-directory.ts";

/** The prompt of requests without one. It says nothing about the person but where attention finds them. */
export const DEFAULT_PROMPT = "A person is dancing.";

/** The prompt of requests without one, with the words of the request for the person. */
export function plainPrompt(subject: string | null): string {
  if (subject === null) return DEFAULT_PROMPT;
  return /^(?:an?|the)\s/i.test(subject) ? `${subject} is dancing.` : `The ${subject} is dancing.`;
}

/** What the result will look like, and how it is sampled. */
export interface SamplingSettings {
  readonly width: number;
  readonly height: number;
  readonly fps: number;
  /** The part of the driving video that is used, in seconds; null: from its first frame, to its last. */
  readonly start: number | null;
  readonly end: number | null;
  /** Null: an image-language model is asked for it, as the request says. */
  readonly prompt: string | null;
  readonly negativePrompt: string;
  /** Words of the prompt that stand for the person; null: found by themselves. */
  readonly subject: string | null;
  readonly seed: number;
  readonly numSteps: number;
  readonly guidanceScale: number;
  readonly shift: number;
  readonly segmentFrames: number;
  /** Null: about a quarter of the segment. */
  readonly headFrames: number | null;
  readonly tailFrames: number | null;
}

/**
 * @param fps of the result
 * @throws UserError when the lengths make no plan
 */
export function resolveSampling(
  request: CheckedGenerateRequest,
  { defaults }: ModelDescription,
  fps: number,
): SamplingSettings {
  const settings = {
    ...(request.size ?? { width: defaults.width, height: defaults.height }),
    fps,
    start: request.start ?? null,
    end: request.end ?? null,
    prompt: promptOf(request),
    negativePrompt: request.negativePrompt ?? defaults.negativePrompt,
    subject: request.subject ?? null,
    seed: request.seed,
    numSteps: request.steps ?? defaults.steps,
    guidanceScale: request.guidanceScale ?? defaults.guidanceScale,
    shift: defaults.shift,
    segmentFrames: request.segmentFrames ?? defaults.segmentFrames,
    headFrames: request.headFrames ?? null,
    tailFrames: request.tailFrames ?? null,
  };
  // A plan of two segments tells whether the lengths fit together, before anything is computed. Segments of one frame
  // never do: they make single pictures.
  planSegments(settings.segmentFrames === 1 ? 1 : settings.segmentFrames + 1, overlapOptions(settings));
  return settings;
}

function promptOf({ prompt, subject, captionUrl }: CheckedGenerateRequest): string | null {
  return prompt ?? (captionUrl === undefined ? plainPrompt(subject ?? null) : null);
}

/** The lengths of a segment, as the planner takes them. */
export function overlapOptions({ segmentFrames, headFrames, tailFrames }: SamplingSettings) {
  return {
    segmentFrames,
    ...(headFrames !== null && { headFrames }),
    ...(tailFrames !== null && { tailFrames }),
  };
}

/**
 * Where networks run.
 * @param announce told what an automatic choice took
 * @throws UserError for a device or precision that this machine does not have
 */
export async function resolvePlacement(
  { device, precision, threads = availableParallelism() }: CheckedGenerateRequest,
  announce: (message: string) => void,
): Promise<Placement> {
  const resolved = await resolveDevice(device, announce);
  return { device: resolved, threads, precision: resolvePrecision(precision, resolved) };
}

/** Refuses a result that would overwrite an input, or a folder. */
export async function checkOutput({ out, image, video, keypoints }: CheckedGenerateRequest): Promise<void> {
  if ((await stat(out).catch(() => null))?.isDirectory()) {
    throw new UserError(`out: ${out} is a folder; expected the path of a file`);
  }
  const target = await realpath(out).catch(() => resolve(out));
  for (const [name, path] of Object.entries({ image, video, keypoints })) {
    if (path === undefined || (await realpath(path).catch(() => resolve(path))) !== target) continue;
    throw new UserError(`out: ${out} is the ${name} itself; choose another name`);
  }
}

/**
 * Everything that the bytes of the result depend on. The number of threads is part of it, because sums are split by
 * it and so rounded differently; stages are not, because they change nothing.
 */
export async function identifyRun(
  request: CheckedGenerateRequest,
  sampling: SamplingSettings,
  isTiled: boolean,
  { device, threads, precision = "float32" }: Placement,
): Promise<RunSettings> {
  const inputs: Record<string, string> = {};
  for (const name of ["image", "video", "keypoints"] as const) {
    const path = request[name];
    inputs[name] = path === undefined ? "none" : await identifyFile(path);
  }
  const { loras, files } = await openModelFolder(request.model);
  for (const [name, path] of await files()) inputs[`model/${name}`] = await identifyFile(path);
  if (precision === "int8") inputs["model/int8"] = await identifyFile(await int8Path(request.model));
  for (const [i, lora] of loras.entries()) inputs[`model/lora ${i + 1}`] = await identifyLora(lora);
  for (const [i, lora] of request.loras.entries()) inputs[`lora ${i + 1}`] = await identifyLora(lora);
  for (const [i, path] of (await listModelFiles(request.eyes)).entries()) {
    inputs[`eyes ${i + 1}`] = await identifyFile(path);
  }
  const { person = "auto", align, kvShare, kvMode, kvPrecision, anchor } = request;
  // Where that model runs makes no difference.
  const prompt = sampling.prompt ?? `described by ${request.captionModel}`;
  const sharing = { kvShare, kvMode, kvPrecision, anchor };
  const choices = { ...sampling, prompt, person, align, ...sharing, device, threads, precision };
  return {
    version: await packageVersion(),
    [VAE_TILING]: isTiled ? "on" : "off",
    ...inputs,
    ...Object.fromEntries(
      Object.entries(choices).map(([name, value]) => [
        name,
        typeof value === "object" ? JSON.stringify(value) : String(value),
      ]),
    ),
  };
}

/** To hash tens of gigabytes takes minutes at every start. */
const MAX_HASHED_BYTES = 2 ** 31;

/** A file by its content; a very large one by its length and when it was changed. */
async function identifyFile(path: string): Promise<string> {
  const { size, mtime } = await stat(path);
  if (size > MAX_HASHED_BYTES) return `${size} bytes of ${mtime.toISOString()}`;
  return `sha256 ${await hashFile(path)}`;
}

/** A LoRA by its content and its weight. */
async function identifyLora({ path, weight }: LoraChoice): Promise<string> {
  const { files } = await openLora(path);
  const hashes = await Promise.all(files.map(identifyFile));
  return `${hashes.join(", ")}, weight ${weight}`;
}

/** Version of this package. */
async function packageVersion(): Promise<string> {
  const manifest = await readFile(new URL("../../package.json", import.meta.url), "utf8");
  return (JSON.parse(manifest) as { version: string }).version;
}
