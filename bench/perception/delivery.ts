/** Clips in files such as people have, and what comes out of the pipeline of their times and sound. */
import { rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import sharp from "sharp";
import { writeTinyModel } from "../../src/diffusion/testing.ts";
import { type Image, imageFromBytes } from "../../src/media/pixels.ts";
import {
  audibleSamples,
  type SampleSound,
  type SampleVideo,
  turnedMp4,
  writeSampleVideo,
} from "../../src/media/testing.ts";
import { decodeVideo, openVideoEncoder, probeVideo } from "../../src/media/video.ts";
import type { PersonFrame } from "../../src/perception/person-frame.ts";
import { writeKeypoints } from "../../src/pipeline/keypoints-file.ts";
import { prepare } from "../../src/pipeline/prepare.ts";
import { resolveRate, stretchOf } from "../../src/pipeline/timing.ts";
import { type Clip, FPS } from "./clip.ts";

/** How a clip is stored, and which part of it is asked for. */
export interface Delivery {
  /** Clockwise turn that the file's pictures need, as phones store them. */
  readonly rotation?: 90 | 180 | 270;
  /** When each frame begins; otherwise they come at the clip's rate. */
  readonly timesS?: readonly number[];
  readonly pixelFormat?: NonNullable<SampleVideo["pixelFormat"]>;
  /** Written by the package's own encoder, which keeps the clip's rate exactly. */
  readonly isExact?: true;
  /** Codec of the tone beside the pictures; none is silent. */
  readonly sound?: SampleSound;
  /** What the file is; `mp4` by default, which alone can be turned. */
  readonly container?: "mp4" | "mov" | "mkv";
  readonly start?: number;
  readonly end?: number;
  /** Frames per second asked for. */
  readonly fps?: number | "source";
}

/** Times of frames at a rate, every other one late by up to nine tenths of a frame. */
export function unevenTimes(numFrames: number, fps: number): number[] {
  return Array.from({ length: numFrames }, (_, f) => {
    const lateness = f % 2 === 0 ? 0 : 0.9 * Math.abs(Math.sin(f));
    return Math.round((1000 * (f + lateness)) / fps) / 1000;
  });
}

/** Samples per second, as cameras record them. */
const SOUND_RATE = 48000;

/** The last frame of a sample lasts this long. */
const LAST_S = 0.04;

/** A clip as it is read from its file. */
export interface DeliveredClip extends Clip {
  readonly path: string;
  /** Frames that the part asked for has, by the times of the file. */
  readonly numExpected: number;
}

/** Writes a clip as told and reads it as the pipeline does. */
export async function deliver(clip: Clip, delivery: Delivery, folder: string): Promise<DeliveredClip> {
  const path = join(folder, `clip.${delivery.container ?? "mp4"}`);
  const timesS = delivery.timesS ?? clip.frames.map((_, f) => f / clip.fps);
  await write(path, clip, timesS, delivery);
  const info = await probeVideo(path);
  const fps = await resolveRate(delivery.fps ?? FPS, FPS, info, undefined);
  const { startS, endS } = stretchOf(delivery, info);
  const frames: Image[] = [];
  for await (const { image } of decodeVideo(path, { fps, startS, endS })) frames.push(image);

  const lastS = timesS.at(-1)! + (delivery.isExact ? 1 / clip.fps : LAST_S);
  const numExpected = Math.ceil((Math.min(endS, lastS) - startS - TOLERANCE_S) * fps);
  const truth = frames.map((_, k) => {
    const isOnScreen = (beginS: number): boolean => beginS <= startS + k / fps + TOLERANCE_S;
    return clip.truth[timesS.findLastIndex(isOnScreen)]!;
  });
  return { frames, fps, truth, path, numExpected };
}

/** Containers round times to milliseconds. */
const TOLERANCE_S = 0.001;

async function write(
  path: string,
  { frames, fps }: Clip,
  timesS: readonly number[],
  { rotation, isExact, sound, container = "mp4", pixelFormat = "yuv420p" }: Delivery,
): Promise<void> {
  const stored = `${path}.stored.${container}`;
  const lying = await Promise.all(frames.map((image) => turned(image, rotation ?? 0)));
  const audio = sound && { codec: sound, lengthS: timesS.at(-1)! + 0.5, rate: SOUND_RATE };
  await writeSampleVideo(stored, { frames: lying, timesS, pixelFormat, ...(audio && { audio }) });
  if (isExact) {
    const { width, height } = frames[0]!;
    const audioFrom = { path: stored };
    const encoder = await openVideoEncoder(path, { width, height, fps, ...(sound && { audioFrom }) });
    for (const image of frames) await encoder.write(image);
    await encoder.close();
  } else {
    await (rotation ? writeFile(path, turnedMp4(stored, rotation)) : rename(stored, path));
  }
}

/** Turned so that a clockwise turn makes it upright. */
async function turned(image: Image, degrees: 0 | 90 | 180 | 270): Promise<Image> {
  if (degrees === 0) return image;
  const { width, height, channels } = image;
  const upright = sharp(image.data, { raw: { width, height, channels } });
  const { data, info } = await upright
    .rotate(360 - degrees)
    .raw()
    .toBuffer({ resolveWithObject: true });
  return imageFromBytes(info.width, info.height, new Uint8Array(data));
}

/** What the pipeline made of a file. */
export interface Outcome {
  readonly numFrames: number;
  /** Samples by which the sound is late and too long; null without sound. */
  readonly sound: { readonly late: number; readonly long: number } | null;
}

/** Lets `prepare` write its overlay video for poses that were found in a file, and measures that video. */
export async function outcomeOf(
  { path, fps }: DeliveredClip,
  { start, end, fps: asked = FPS, sound }: Delivery,
  poses: readonly PersonFrame[],
  folder: string,
): Promise<Outcome> {
  const [model, keypoints] = [join(folder, "model"), join(folder, "poses.jsonl")];
  await writeTinyModel(model);
  await writeKeypoints(keypoints, fps, poses);
  const part = { ...(start !== undefined && { start }), ...(end !== undefined && { end }) };
  const { files } = await prepare({ model, video: path, keypoints, fps: asked, out: folder, ...part });
  const { numFrames } = await probeVideo(files.overlay!);
  if (!sound) return { numFrames, sound: null };
  const [original, copied] = [await audibleSamples(path), await audibleSamples(files.overlay!)];
  const { rate } = copied;
  const from = Math.round(((start ?? 0) - original.startS) * rate);
  const late = bestShift(original.samples, copied.samples, from) + Math.round(copied.startS * rate);
  return { numFrames, sound: { late, long: copied.samples.length - Math.round((numFrames / fps) * rate) } };
}

const MAX_SHIFT = 2000;

/** By how many samples `copied` lags behind what it is a copy of from sample `from` on. */
function bestShift(original: readonly number[], copied: readonly number[], from: number): number {
  const mismatch = (shift: number): number => {
    let sum = 0;
    for (let i = MAX_SHIFT; i < copied.length - MAX_SHIFT; i += 3) {
      sum += Math.abs(copied[i]! - (original[from + i - shift] ?? 0));
    }
    return sum;
  };
  const shifts = Array.from({ length: 2 * MAX_SHIFT + 1 }, (_, i) => i - MAX_SHIFT);
  const sums = shifts.map(mismatch);
  return shifts[sums.indexOf(Math.min(...sums))]!;
}
