/**
 * The demo in float32 and in int8, one after the other: time, likeness of the videos, and size. The model must have
 * been calibrated (`posegen models calibrate MODEL`). Usage:
 *
 *     npx tsx bench/int8-demo.ts [--model weights/posegen-mini] [--seconds 12] [--threads 2]
 */
import { mkdtemp, rm, stat } from "node:fs/promises";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { sampleAssets } from "../src/app/sample-assets.ts";
import { int8Path, readInt8Calibration } from "../src/diffusion/int8-calibration.ts";
import { openModelFolder } from "../src/diffusion/model-folder.ts";
import { meanSquaredError } from "../src/evaluation/psnr.ts";
import { EMBEDDED_MODEL, generate, prepare } from "../src/index.ts";
import { decodeVideo } from "../src/media/video.ts";
import { sizeOf } from "../src/tensor/tensor.ts";

const { values } = parseArgs({
  options: {
    model: { type: "string", default: EMBEDDED_MODEL },
    seconds: { type: "string", default: "12" },
    threads: { type: "string", default: `${cpus().length}` },
  },
});
const { model } = values;
const threads = Number(values.threads);
const end = Number(values.seconds);

const folder = await openModelFolder(model);
const calibration = await readInt8Calibration(folder);
console.log(`${cpus()[0]?.model ?? "unknown processor"}, ${threads} of ${cpus().length} threads`);
await printSizes();

const out = await mkdtemp(join(tmpdir(), "posegen-int8-"));
try {
  const { reference: image, video, prompt } = await sampleAssets(join(out, "sample"), console.log);
  const { files } = await prepare({ video, model, end, out: join(out, "prepared") });
  const videos: string[] = [];
  for (const precision of ["float32", "int8"] as const) {
    const keypoints = files.keypoints!;
    const request = { image, video, keypoints, prompt, model, end, threads, precision };
    const begin = process.cpuUsage();
    const result = await generate({ ...request, out: join(out, `${precision}.mp4`) });
    const { user, system } = process.cpuUsage(begin);
    videos.push(result.out);
    console.log(
      `${precision.padEnd(8)} ${result.numFrames} frames in ${(result.durationMs / 1000).toFixed(1)} s, ` +
        `${((user + system) / 1e6).toFixed(1)} s of processor time`,
    );
  }
  await printLikeness(videos as [string, string]);
} finally {
  await rm(out, { recursive: true, force: true });
}

async function printSizes(): Promise<void> {
  const { tensors } = await folder.open("dit");
  const weights = calibration.groups.flatMap((group) => group.weights.map((key) => tensors.get(key)!));
  const numParameters = [...tensors.values()].reduce((sum, { shape }) => sum + sizeOf(shape), 0);
  const inInt8 = weights.reduce((sum, { shape }) => sum + sizeOf(shape), 0);
  const columns = weights.reduce((sum, { shape }) => sum + shape[0]!, 0);
  // Values are bytes; each column has a scale and an offset.
  const bytes = 4 * (numParameters - inInt8) + inInt8 + 8 * columns;
  console.log(
    `denoiser: ${megabytes(4 * numParameters)} in float32, ${megabytes(bytes)} with ${weights.length} layers in int8; ` +
      `the calibration takes ${megabytes((await stat(await int8Path(model))).size)} on disk`,
  );
  console.log(`velocity off by ${(100 * calibration.velocityError).toFixed(2)} % in the calibration`);
}

/** Of the decoded videos, over all frames at once, and of the frame that differs most. */
async function printLikeness([exact, rounded]: readonly [string, string]): Promise<void> {
  const frames: Uint8Array[] = [];
  for await (const { image } of decodeVideo(exact)) frames.push(image.data);
  const errors: number[] = [];
  for await (const { image } of decodeVideo(rounded)) {
    errors.push(meanSquaredError(frames[errors.length]!, image.data));
  }
  const mean = errors.reduce((sum, x) => sum + x, 0) / errors.length;
  const decibels = (error: number): string => (10 * Math.log10(255 ** 2 / error)).toFixed(1);
  console.log(
    `int8 against float32: PSNR ${decibels(mean)} dB over ${errors.length} frames, ` +
      `${decibels(Math.max(...errors))} dB in the worst`,
  );
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
