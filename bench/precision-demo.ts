/**
 * The demo as the model ships, in int8, and with weights stored in other precisions, one after the other: time,
 * likeness of the videos to the first one, and size. int8 is left out where the model has not been calibrated
 * (`posegen models calibrate MODEL`). Usage:
 *
 *     npx tsx bench/precision-demo.ts [--model weights/posegen-mini] [--seconds 12] [--threads 2]
 *         [--precisions int8,bf16,q8,q4]
 */
import { mkdtemp, rm, stat } from "node:fs/promises";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { sampleAssets } from "../src/app/sample-assets.ts";
import { readInt8Calibration } from "../src/diffusion/int8-calibration.ts";
import { int8Path } from "../src/diffusion/int8-file.ts";
import { MODEL_FILES, openModelFolder } from "../src/diffusion/model-folder.ts";
import { rewriteModelFolder } from "../src/diffusion/rewrite-model.ts";
import { parseStoredPrecision } from "../src/diffusion/stored-precision.ts";
import { meanSquaredError } from "../src/evaluation/psnr.ts";
import { EMBEDDED_MODEL, generate, prepare } from "../src/index.ts";
import { decodeVideo } from "../src/media/video.ts";
import { UserError } from "../src/tensor/errors.ts";
import { sizeOf } from "../src/tensor/tensor.ts";

const { values } = parseArgs({
  options: {
    model: { type: "string", default: EMBEDDED_MODEL },
    seconds: { type: "string", default: "12" },
    threads: { type: "string", default: `${cpus().length}` },
    precisions: { type: "string", default: "int8,bf16,q8,q4" },
  },
});
const shipped = values.model;
const threads = Number(values.threads);
const end = Number(values.seconds);

/** A model to generate with, and what its denoiser's weights take. */
interface Variant {
  readonly model: string;
  readonly precision: "float32" | "int8";
  readonly weights: string;
}

console.log(`${cpus()[0]?.model ?? "unknown processor"}, ${threads} of ${cpus().length} threads`);
const out = await mkdtemp(join(tmpdir(), "posegen-precision-demo-"));
try {
  const { reference: image, video, prompt } = await sampleAssets(join(out, "sample"), console.log);
  const { files } = await prepare({ video, model: shipped, end, out: join(out, "prepared") });
  const first: Uint8Array[] = [];
  for (const name of ["as it ships", ...values.precisions.split(",")]) {
    const variant = await variantOf(name);
    if (variant === null) continue;
    const { model, precision, weights } = variant;
    const request = { image, video, keypoints: files.keypoints!, prompt, model, end, threads, precision };
    const begin = process.cpuUsage();
    const result = await generate({ ...request, out: join(out, `${name}.mp4`) });
    const { user, system } = process.cpuUsage(begin);
    const likeness = await likenessOf(result.out, first);
    console.log(
      `${name.padEnd(11)} ${result.numFrames} frames in ${(result.durationMs / 1000).toFixed(1)} s, ` +
        `${((user + system) / 1e6).toFixed(1)} s of processor time; ${weights}${likeness}`,
    );
  }
} finally {
  await rm(out, { recursive: true, force: true });
}

/** Null where int8 has not been prepared. */
async function variantOf(name: string): Promise<Variant | null> {
  const folder = await openModelFolder(shipped);
  if (name === "int8") {
    if (!(await stat(await int8Path(shipped)).catch(() => null))) {
      console.log(`int8        left out: run \`posegen models calibrate ${shipped}\` first`);
      return null;
    }
    return { model: shipped, precision: "int8", weights: await int8Weights() };
  }
  if (name === "as it ships")
    return { model: shipped, precision: "float32", weights: await fileSize(shipped) };
  const model = join(out, `model ${name}`);
  const precision = parseStoredPrecision(name);
  await rewriteModelFolder(folder, model, { precision, loras: [], isMerged: false });
  return { model, precision: "float32", weights: await fileSize(model) };
}

async function fileSize(model: string): Promise<string> {
  return `${megabytes((await stat(join(model, MODEL_FILES.dit))).size)} on disk`;
}

/** What the denoiser takes in memory, beside what the calibration takes on disk. */
async function int8Weights(): Promise<string> {
  const folder = await openModelFolder(shipped);
  const { groups, velocityError } = await readInt8Calibration(folder);
  const { tensors } = await folder.open("dit");
  const weights = groups.flatMap((group) => group.weights.map((key) => tensors.get(key)!));
  const numParameters = [...tensors.values()].reduce((sum, { shape }) => sum + sizeOf(shape), 0);
  const inInt8 = weights.reduce((sum, { shape }) => sum + sizeOf(shape), 0);
  const columns = weights.reduce((sum, { shape }) => sum + shape[0]!, 0);
  // Values are bytes; each column has a scale and an offset.
  const bytes = 4 * (numParameters - inInt8) + inInt8 + 8 * columns;
  return (
    `${megabytes(bytes)} in memory in place of ${megabytes(4 * numParameters)}, ${weights.length} layers in int8, velocity ` +
    `off by ${(100 * velocityError).toFixed(2)} % in the calibration`
  );
}

/** Of decoded videos, over all frames at once, and of the frame that differs most; fills `first` when it is empty. */
async function likenessOf(path: string, first: Uint8Array[]): Promise<string> {
  const isFirst = first.length === 0;
  const errors: number[] = [];
  for await (const { image } of decodeVideo(path)) {
    if (isFirst) first.push(image.data);
    else errors.push(meanSquaredError(first[errors.length]!, image.data));
  }
  if (isFirst) return "";
  if (errors.length !== first.length) throw new UserError(`${path} has another length`);
  const mean = errors.reduce((sum, x) => sum + x, 0) / errors.length;
  const decibels = (error: number): string => (10 * Math.log10(255 ** 2 / error)).toFixed(1);
  return `; PSNR ${decibels(mean)} dB, ${decibels(Math.max(...errors))} dB in the worst frame`;
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
