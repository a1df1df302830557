import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  FF_ENCODER_GIF,
  FF_ENCODER_LIBVPX_VP9,
  FF_ENCODER_MPEG4,
  FF_ENCODER_PRORES_KS,
} from "node-av/constants";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writeImage } from "./image.ts";
import { createImage, type Image } from "./pixels.ts";
import { resize } from "./resize.ts";
import {
  decodeAll,
  encodeAll,
  frameNumber,
  numberedFrames,
  presentBackends,
  refusalOf,
  turnedMp4,
  writeSampleVideo,
} from "./testing.ts";
import { videoBackend } from "./video.ts";
import type { VideoFrame } from "./video-backend.ts";
import { nodeAvBackend } from "./video-node-av.ts";

const backends = await presentBackends();

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "posegen-decode-"));
  await writeSamples();
});
afterAll(() => rm(folder, { recursive: true }));
const at = (name: string) => join(folder, name);

const every = (count: number, fps: number) => Array.from({ length: count }, (_, i) => i / fps);
/** Frame 0 to 19, with pauses and bursts. */
const UNEVEN_S = [0, 1, 2, 3, 4, 10, 11, 12, 20, 21, 22, 23, 24, 25, 35, 36, 37, 38, 39, 40].map(
  (tick) => tick / 25,
);

/** A phone's: every other of 24 frames a second is late. */
const PHONE_S = Array.from(
  { length: 48 },
  (_, f) => Math.round((1000 / 24) * (f + (f % 2) * 0.9 * Math.abs(Math.sin(f)))) / 1000,
);

/** The same frame with texture, so that pictures outweigh the index in a file. */
const noisyFrame = (frame: Image, n: number): Image => ({
  ...frame,
  data: frame.data.map((v, i) => v + ((i * 7919 + n * 104_729) % 61)),
});

/** The videos that all implementations must read alike. */
async function writeSamples(): Promise<void> {
  const even = { frames: numberedFrames(50), timesS: every(50, 25) };
  await writeSampleVideo(at("sound.mp4"), { ...even, audio: { codec: "aac", lengthS: 2 } });
  await writeSampleVideo(at("even.mp4"), even);
  await writeSampleVideo(at("even.ts"), even);
  await writeSampleVideo(at("uneven.mkv"), { frames: numberedFrames(20), timesS: UNEVEN_S });
  await writeSampleVideo(at("phone.mp4"), { frames: numberedFrames(48), timesS: PHONE_S });
  await writeSampleVideo(at("odd.mp4"), {
    frames: numberedFrames(10, 97, 63),
    timesS: every(10, 25),
    pixelFormat: "yuv444p",
  });
  await writeSampleVideo(at("vp9.webm"), { ...even, codec: FF_ENCODER_LIBVPX_VP9 });
  await writeSampleVideo(at("mpeg4.avi"), { ...even, codec: FF_ENCODER_MPEG4 });
  await writeSampleVideo(at("deep.mov"), {
    ...even,
    codec: FF_ENCODER_PRORES_KS,
    pixelFormat: "yuv422p10le",
  });
  await writeSampleVideo(at("even.gif"), { ...even, codec: FF_ENCODER_GIF, pixelFormat: "bgr8" });
  const noisy = { frames: even.frames.map(noisyFrame), timesS: even.timesS };
  await writeSampleVideo(at("noisy-late.mp4"), noisy);
  await encodeAll(nodeAvBackend, at("noisy-first.mp4"), noisy.frames);
  await writeSampleVideo(at("noisy-matroska.mkv"), noisy);
  await writeSampleVideo(at("noisy-vp9.webm"), { ...noisy, codec: FF_ENCODER_LIBVPX_VP9 });
  await writeSampleVideo(at("noisy-mpeg4.avi"), { ...noisy, codec: FF_ENCODER_MPEG4 });
  await writeSampleVideo(at("noisy-deep.mov"), {
    ...noisy,
    codec: FF_ENCODER_PRORES_KS,
    pixelFormat: "yuv422p10le",
  });
  for (const degrees of [90, 180, 270] as const) {
    await writeFile(at(`turned-${degrees}.mp4`), turnedMp4(at("even.mp4"), degrees));
  }
}
const SAMPLES = [
  "even.mp4",
  "even.ts",
  "uneven.mkv",
  "odd.mp4",
  "vp9.webm",
  "mpeg4.avi",
  "deep.mov",
  "even.gif",
];

const numbersOf = (frames: readonly VideoFrame[]) => frames.map(({ image }) => frameNumber(image));

it("uses the bindings where npm installed them", async () => {
  expect(backends[0]).toBe(nodeAvBackend);
  expect(await videoBackend()).toBe(nodeAvBackend);
});

describe.each(backends)("reading with $name", (backend) => {
  it("tells what a file holds", async () => {
    expect(await backend.probe(at("sound.mp4"))).toEqual({
      width: 96,
      height: 64,
      frameRate: 25,
      numFrames: 50,
      durationS: 2,
      rotation: 0,
      hasAudio: true,
      codec: "h264",
    });
    expect(await backend.probe(at("uneven.mkv"))).toMatchObject({ numFrames: 20, hasAudio: false });
    expect((await backend.probe(at("uneven.mkv"))).durationS).toBeCloseTo(1.64, 1);
    expect(await backend.probe(at("turned-90.mp4"))).toMatchObject({ width: 64, height: 96, rotation: 90 });
  });

  it.each(SAMPLES)("gives every frame of %s once, in order, with its time", async (name) => {
    const frames = await decodeAll(backend, at(name));
    expect(numbersOf(frames)).toEqual(frames.map((_, i) => i));
    const times = name === "uneven.mkv" ? UNEVEN_S : every(name === "odd.mp4" ? 10 : 50, 25);
    expect(frames.map(({ timeS }) => timeS)).toEqual(times.map((time) => expect.closeTo(time, 6)));
    expect([...new Set(frames.map(({ image }) => `${image.width}x${image.height}`))]).toEqual([
      name === "odd.mp4" ? "97x63" : "96x64",
    ]);
    // Releases of FFmpeg differ in how they spread colour at sharp edges, not in flat parts or in the mean.
    const expected = await decodeAll(nodeAvBackend, at(name));
    frames.forEach(({ image }, i) => {
      const other = expected[i]!.image.data;
      const difference = image.data.reduce((sum, v, k) => sum + Math.abs(v - other[k]!), 0);
      expect(difference / other.length).toBeLessThan(0.5);
    });
  });

  it("shows the last picture to the end of the video, whatever order pictures are stored in", async () => {
    const { durationS } = await backend.probe(at("phone.mp4"));
    expect(durationS).toBeCloseTo(PHONE_S.at(-1)! + 0.04, 3);
    const numbers = numbersOf(await decodeAll(backend, at("phone.mp4"), { fps: 100 }));
    expect(numbers).toHaveLength(Math.ceil(100 * durationS - 0.1));
    expect(numbers.filter((number) => number === 47)).toHaveLength(4);
  });

  it("resamples by time", async () => {
    const slower = await decodeAll(backend, at("even.mp4"), { fps: 10 });
    expect(numbersOf(slower)).toEqual([
      0, 2, 5, 7, 10, 12, 15, 17, 20, 22, 25, 27, 30, 32, 35, 37, 40, 42, 45, 47,
    ]);
    const uneven = await decodeAll(backend, at("uneven.mkv"), { fps: 12.5 });
    expect(numbersOf(uneven)).toEqual([
      0, 2, 4, 4, 4, 5, 7, 7, 7, 7, 8, 10, 12, 13, 13, 13, 13, 13, 15, 17, 19,
    ]);
    expect(uneven.map(({ timeS }) => timeS)).toEqual(every(21, 12.5));
  });

  it.each(["even.mp4", "even.ts", "vp9.webm", "even.gif"])("begins and ends anywhere in %s", async (name) => {
    const frames = await decodeAll(backend, at(name), { startS: 1.36, endS: 1.56 });
    expect(numbersOf(frames)).toEqual([34, 35, 36, 37, 38]);
    expect(numbersOf(await decodeAll(backend, at(name), { fps: 5, startS: 1.3 }))).toEqual([32, 37, 42, 47]);
    expect(await decodeAll(backend, at(name), { startS: 7 })).toEqual([]);
  });

  it("turns pictures upright", async () => {
    const [upright] = await decodeAll(backend, at("even.mp4"), { endS: 0.01 });
    for (const degrees of [90, 180, 270] as const) {
      const [turned] = await decodeAll(backend, at(`turned-${degrees}.mp4`), { endS: 0.01 });
      const { image } = turned!;
      const isSideways = degrees !== 180;
      expect([image.width, image.height]).toEqual(isSideways ? [64, 96] : [96, 64]);
      // Where the blocks at the top left went.
      const green = (x: number, y: number) => image.data[(y * image.width + x) * 3 + 1]!;
      const corner = { 90: green(60, 4), 180: green(92, 60), 270: green(4, 92) }[degrees];
      expect(corner).toBeLessThan(40);
      expect(upright!.image.data[1]).toBeLessThan(40);
      expect(green(image.width - 4, image.height - 4)).toBeGreaterThan(degrees === 180 ? 0 : 90);
    }
  });

  it("shrinks larger pictures in proportion", async () => {
    const [first] = await decodeAll(backend, at("even.mp4"), { endS: 0.01 });
    expect(first!.size).toEqual({ width: 96, height: 64 });
    const [small] = await decodeAll(backend, at("even.mp4"), { endS: 0.01, longest: 48 });
    expect(small).toMatchObject({ image: { width: 48, height: 32 }, size: { width: 96, height: 64 } });
    const expected = resize(first!.image, 48, 32).data;
    const difference = small!.image.data.reduce((sum, v, i) => sum + Math.abs(v - expected[i]!), 0);
    expect(difference / expected.length).toBeLessThan(3);
    const [turned] = await decodeAll(backend, at("turned-90.mp4"), { endS: 0.01, longest: 48 });
    expect(turned).toMatchObject({ image: { width: 32, height: 48 }, size: { width: 64, height: 96 } });
    expect(await decodeAll(backend, at("even.mp4"), { endS: 0.01, longest: 100 })).toEqual([first]);
  });

  it("can be left early and called off", async () => {
    for await (const frame of backend.decode(at("even.mp4"))) {
      expect(frameNumber(frame.image)).toBe(0);
      break;
    }
    const stop = new AbortController();
    const frames = backend.decode(at("even.mp4"), { signal: stop.signal });
    await frames.next();
    stop.abort(new Error("called off"));
    await expect(frames.next()).rejects.toThrow("called off");
    await expect(backend.probe(at("even.mp4"), stop.signal)).rejects.toThrow("called off");
  });

  it("refuses what is no video, with one clear error", async () => {
    await writeFile(at("empty.mp4"), "");
    await writeFile(at("text.mp4"), "this is a letter, not a film\n".repeat(100));
    await writeImage(at("picture.png"), createImage(64, 64));
    await writeSampleVideo(at("nothing.mp4"), { frames: [], timesS: [] });
    await writeFile(at("list.mp4"), `#EXTM3U\n#EXTINF:1,\n${at("even.ts")}\n#EXT-X-ENDLIST\n`);
    await writeFile(at("list.txt"), `ffconcat version 1.0\nfile even.mp4\n`);
    const expected: Record<string, RegExp> = {
      "absent.mp4": /absent\.mp4 does not exist/,
      ".": /is no file/,
      "empty.mp4": /is empty/,
      "text.mp4": /cannot be read as a video/,
      "picture.png": /cannot be read as a video/,
      "nothing.mp4": /has no video frames|cannot be read as a video/,
      "list.mp4": /cannot be read as a video/,
      "list.txt": /cannot be read as a video/,
    };
    for (const [name, message] of Object.entries(expected)) {
      expect(await refusalOf(backend.probe(at(name)))).toMatch(message);
      expect(await refusalOf(decodeAll(backend, at(name)))).toMatch(message);
    }
  });

  it.each(["late.mp4", "first.mp4", "matroska.mkv", "vp9.webm", "mpeg4.avi", "deep.mov"])(
    "refuses a truncated %s",
    async (name) => {
      const whole = await readFile(at(`noisy-${name}`));
      await writeFile(at(`cut-${name}`), whole.subarray(0, Math.floor(whole.length * 0.6)));
      expect(await refusalOf(decodeAll(backend, at(`cut-${name}`)))).toMatch(
        /truncated|cannot be read as a video/,
      );
    },
  );

  it("refuses impossible options", async () => {
    expect(await refusalOf(decodeAll(backend, at("even.mp4"), { fps: 0 }))).toMatch("0 frames per second");
    expect(await refusalOf(decodeAll(backend, at("even.mp4"), { startS: 2, endS: 1 }))).toMatch(
      "from 2 s to 1 s",
    );
    expect(await refusalOf(decodeAll(backend, at("even.mp4"), { longest: 0 }))).toMatch("to 0 pixels");
  });
});
