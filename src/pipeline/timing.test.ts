import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { renderFrames } from "../avatar/clip.ts";
import { makeIdentity } from "../avatar/identity.ts";
import { makeMotion } from "../avatar/motion.ts";
import { makeScene } from "../avatar/scene.ts";
import { createImage, type Image } from "../media/pixels.ts";
import {
  audibleSamples,
  decodeAll,
  encodeAll,
  frameNumber,
  numberedFrames,
  turnedMp4,
  writeSampleVideo,
} from "../media/testing.ts";
import { probeVideo, videoBackend } from "../media/video.ts";
import { generate } from "./generate.ts";
import { numFramesAt } from "./perceive.ts";
import { prepare } from "./prepare.ts";
import { checkGenerateRequest } from "./request.ts";
import { type TinyInputs, writeTinyInputs } from "./testing.ts";
import { resolveRate, stretchOf } from "./timing.ts";

/** A phone's: uneven times. */
const TIMES_S = [0, 0.1, 0.2, 0.4, 0.5, 0.56, 0.7, 0.8, 0.9, 1, 1.1, 1.2];

let folder: string;
let inputs: TinyInputs;
let phone: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "posegen-timing-"));
  inputs = await writeTinyInputs(join(folder, "inputs"), 1);
  phone = join(folder, "phone.mp4");
  await writePhoneVideo();
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** A dancer filmed upright by a phone, which stores pictures lying on their side and says so. */
async function writePhoneVideo(): Promise<void> {
  const scene = { ...makeScene(3), shot: "full body", span: [-0.07, 1.16] } as const;
  const person = { identity: makeIdentity(14), motion: makeMotion(5) };
  const size = { width: 128, height: 192 };
  const frames = [...renderFrames({ ...person, scene, ...size, numFrames: TIMES_S.length, fps: 10 })];
  const stored = join(folder, "stored.mp4");
  await writeSampleVideo(stored, {
    frames: frames.map(({ image }) => turnedLeft(image)),
    timesS: TIMES_S,
    audio: { codec: "aac", lengthS: 1.3 },
  });
  await writeFile(phone, turnedMp4(stored, 90));
}

function turnedLeft({ width, height, data }: Image): Image {
  const out = createImage(height, width);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const from = (y * width + x) * 3;
      out.data.set(data.subarray(from, from + 3), ((width - 1 - x) * height + y) * 3);
    }
  }
  return out;
}

describe("part of a phone's video", () => {
  const part = { start: 0.2, end: 1, fps: 10 } as const;
  const NUM_FRAMES = 8;

  test("is prepared upright, resampled by time, with its sound", async () => {
    const { model } = inputs;
    const found = await prepare({ model, video: phone, out: join(folder, "prepared"), ...part });
    expect(found).toMatchObject({ numFrames: NUM_FRAMES, numWithBody: NUM_FRAMES, fps: 10 });
    const overlay = await probeVideo(found.files.overlay!);
    expect(overlay).toMatchObject({ width: 128, height: 192, numFrames: NUM_FRAMES, hasAudio: true });
  });

  test("makes a video as long as it to the frame, its sound in place to the sample", async () => {
    const { model, image } = inputs;
    const out = join(folder, "out.mp4");
    const settings = { align: "off", steps: 1, guidanceScale: 1, threads: 1 } as const;
    const result = await generate({ model, image, video: phone, out, ...settings, ...part });
    expect(result).toMatchObject({ numFrames: NUM_FRAMES, audio: "copied" });
    expect(await probeVideo(out)).toMatchObject({ numFrames: NUM_FRAMES, frameRate: 10, durationS: 0.8 });
    const [original, copied] = [await audibleSamples(phone), await audibleSamples(out)];
    expect(copied.startS).toBe(0);
    expect(copied.samples).toHaveLength(0.8 * copied.rate);
    const from = 0.2 * original.rate;
    const difference = copied.samples.map((value, i) => Math.abs(value - original.samples[from + i]!));
    expect(Math.max(...difference)).toBeLessThan(1e-3);
  });

  test("is refused where there is none", async () => {
    const { model, image, keypoints } = inputs;
    const request = { model, image, out: join(folder, "none.mp4") };
    await expect(generate({ ...request, video: phone, start: 2 })).rejects.toThrow(
      /start: got 2 s, but the driving video ends at 1\.2\d s/,
    );
    const check = (change: object) => () => checkGenerateRequest({ ...request, ...change });
    expect(check({ video: phone, start: 1, end: 1 })).toThrow(/end: expected an end behind the start/);
    expect(check({ keypoints, end: 1 })).toThrow(/start: expected a driving video to take a part of/);
    expect(check({ video: phone, fps: "double" })).toThrow(/fps: expected frames per second.*or source/);
  });
});

describe("the frame rate of the source", () => {
  test.each([24, 25, 30000 / 1001, 60000 / 1001])("of %f is kept, every frame once", async (fps) => {
    const path = join(folder, "kept.mp4");
    const backend = await videoBackend();
    await encodeAll(backend, path, numberedFrames(62), { fps });
    const info = await probeVideo(path);
    expect(await resolveRate("source", 16, info, undefined)).toBeCloseTo(fps, 9);
    expect(numFramesAt(info.frameRate, stretchOf({}, info))).toBe(62);
    const frames = await decodeAll(backend, path, { fps: info.frameRate });
    expect(frames.map(({ image }) => frameNumber(image))).toEqual(Array.from({ length: 62 }, (_, i) => i));
  });

  test("is that of given poses where there is no video, and otherwise the model's or the one asked for", async () => {
    expect(await resolveRate("source", 16, null, inputs.keypoints)).toBe(8);
    expect(await resolveRate(undefined, 16, null, inputs.keypoints)).toBe(16);
    expect(await resolveRate(12.5, 16, null, undefined)).toBe(12.5);
  });
});
