/** The demo: the sample reference dances as the sample driving video does. */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import {
  EMBEDDED_MODEL,
  generate,
  type GenerateResult,
  type ObservedRunOptions,
  prepare,
  type Preparation,
} from "../index.ts";
import { openModelFolder } from "../diffusion/model-folder.ts";
import { readImage, writeImage } from "../media/image.ts";
import type { Image } from "../media/pixels.ts";
import { decodeVideo } from "../media/video.ts";
import { Driver } from "../pipeline/driver.ts";
import { composeSheet, type DemoMoment } from "./demo-sheet.ts";
import { sampleAssets, type SampleAssets } from "./sample-assets.ts";

export interface DemoRequest {
  /** Folder for everything that the demo writes. */
  readonly out: string;
  readonly model?: string | undefined;
  readonly device?: string | undefined;
}

export interface DemoResult {
  readonly assets: SampleAssets;
  readonly preparation: Preparation;
  readonly result: GenerateResult;
  /** The contact sheet. */
  readonly sheet: string;
}

/** Columns of the contact sheet. */
const NUM_MOMENTS = 7;

/**
 * Prepares and generates from the sample assets, and lays reference, conditions and result on one picture.
 * @throws UserError when the model or the device is missing; the signal's reason when it is aborted
 */
export async function runDemo(
  { out, model = EMBEDDED_MODEL, device }: DemoRequest,
  options: Required<ObservedRunOptions>,
): Promise<DemoResult> {
  await mkdir(out, { recursive: true });
  const assets = await sampleAssets(join(out, "sample"), (message) =>
    options.onProgress({ type: "notice", message }),
  );
  const { reference, video, prompt } = assets;
  const preparation = await prepare({ video, model, out: join(out, "prepared") }, options);
  const keypoints = preparation.files.keypoints!;
  const result = await generate(
    { image: reference, video, keypoints, prompt, model, device, out: demoVideo(out) },
    options,
  );
  const sheet = join(out, "sheet.png");
  await writeImage(sheet, composeSheet(await readImage(reference), await moments(keypoints, result, model)));
  return { assets, preparation, result, sheet };
}

/** The video that the demo writes. */
export function demoVideo(out: string): string {
  return join(out, "demo.mp4");
}

/** Frames spread over the result, each with its conditions. */
async function moments(keypoints: string, result: GenerateResult, model: string): Promise<DemoMoment[]> {
  const { numFrames, fps, out } = result;
  const indices = Array.from({ length: NUM_MOMENTS }, (_, i) =>
    Math.floor(((i + 0.5) * numFrames) / NUM_MOMENTS),
  );
  const { description } = await openModelFolder(model);
  const driver = await Driver.open(keypoints, fps);
  const { skeleton, handNormals } = await driver.render(indices, result, description.skeleton, () => {});
  const frames = await framesAt(out, indices);
  return frames.map((image, i) => ({ skeleton: skeleton[i]!, handNormals: handNormals[i]!, result: image }));
}

async function framesAt(path: string, indices: readonly number[]): Promise<Image[]> {
  const wanted = new Set(indices);
  const frames: Image[] = [];
  let index = 0;
  for await (const { image } of decodeVideo(path)) {
    if (wanted.has(index++)) frames.push(image);
  }
  return frames;
}
