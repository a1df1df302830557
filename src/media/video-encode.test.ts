import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { temporaryPath } from "../files/atomic-file.ts";
import { createImage } from "./pixels.ts";
import {
  audibleSamples,
  audioPackets,
  decodeAll,
  encodeAll,
  frameNumber,
  numberedFrame,
  numberedFrames,
  presentBackends,
  refusalOf,
  toneAt,
  writeSampleVideo,
} from "./testing.ts";
import type { EncodeOptions } from "./video-backend.ts";
import { nodeAvBackend } from "./video-node-av.ts";

const backends = await presentBackends();
const every = (count: number, fps: number) => Array.from({ length: count }, (_, i) => i / fps);

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "posegen-encode-"));
  const even = { frames: numberedFrames(50), timesS: every(50, 25) };
  await writeSampleVideo(at("even.mp4"), even);
  await writeSampleVideo(at("sound.mp4"), { ...even, audio: { codec: "aac", lengthS: 2 } });
});
afterAll(() => rm(folder, { recursive: true }));
const at = (name: string) => join(folder, name);

describe.each(backends)("writing with $name", (backend) => {
  it("keeps frames, size, rate and colours", async () => {
    const colors = [
      [200, 30, 40],
      [30, 200, 60],
      [20, 40, 220],
      [128, 128, 128],
      [255, 255, 255],
    ] as const;
    const frames = colors.map((color) => createImage(96, 64, color));
    expect(await encodeAll(backend, at("colors.mp4"), frames, { fps: 16 })).toEqual({
      numFrames: 5,
      audio: "none",
    });
    const info = await nodeAvBackend.probe(at("colors.mp4"));
    expect(info).toMatchObject({
      width: 96,
      height: 64,
      frameRate: 16,
      numFrames: 5,
      durationS: 0.3125,
      codec: "h264",
    });
    const decoded = await decodeAll(nodeAvBackend, at("colors.mp4"));
    decoded.forEach(({ image }, i) => {
      const middle = [...image.data.subarray((32 * 96 + 48) * 3).subarray(0, 3)];
      // A wrong matrix (BT.601 for BT.709) would be off by ten and more.
      expect(middle).toEqual(colors[i]!.map((c) => expect.toSatisfy((v: number) => Math.abs(v - c) <= 3)));
    });
  });

  it("writes the same bytes for the same frames", async () => {
    const frames = numberedFrames(40);
    await encodeAll(backend, at("once.mp4"), frames);
    await encodeAll(backend, at("twice.mp4"), frames);
    expect(await readFile(at("twice.mp4"))).toEqual(await readFile(at("once.mp4")));
  });

  it("codes quickly where asked to, the same frames", async () => {
    await encodeAll(backend, at("quick.mp4"), numberedFrames(40), { preset: "ultrafast" });
    const decoded = await decodeAll(nodeAvBackend, at("quick.mp4"));
    expect(decoded.map(({ image }) => frameNumber(image))).toEqual(Array.from({ length: 40 }, (_, i) => i));
    await encodeAll(backend, at("careful.mp4"), numberedFrames(40));
    expect(await readFile(at("quick.mp4"))).not.toEqual(await readFile(at("careful.mp4")));
  });

  it("keeps NTSC rates exact", async () => {
    await encodeAll(backend, at("ntsc.mp4"), numberedFrames(30), { fps: 30000 / 1001 });
    const { frameRate, durationS } = await nodeAvBackend.probe(at("ntsc.mp4"));
    expect(frameRate).toBe(30000 / 1001);
    expect(durationS).toBeCloseTo(1.001, 6);
  });

  it("shows nothing until closed, and nothing of what is aborted", async () => {
    const target = join(folder, `quiet-${backend.name}`, "out.mp4");
    const files = () => readdir(dirname(target));
    const encoder = await backend.openEncoder(target, { width: 96, height: 64, fps: 25 });
    await encoder.write(numberedFrame(0));
    expect(existsSync(target)).toBe(false);
    await encoder.close();
    await encoder.abort();
    expect(await files()).toEqual(["out.mp4"]);
    const before = await readFile(target);
    const dropped = await backend.openEncoder(target, { width: 96, height: 64, fps: 25 });
    await dropped.write(numberedFrame(1));
    await dropped.abort();
    await dropped.abort();
    expect(await files()).toEqual(["out.mp4"]);
    expect(await readFile(target)).toEqual(before);
  });

  it("refuses odd sizes, other containers, wrong frames and empty videos", async () => {
    const open = (name: string, options: Partial<EncodeOptions>) =>
      backend.openEncoder(at(name), { width: 96, height: 64, fps: 25, ...options });
    expect(await refusalOf(open("refused.mp4", { width: 97 }))).toMatch(
      "97x64 video: H.264 4:2:0 needs an even width",
    );
    expect(await refusalOf(open("refused.mp4", { fps: 0 }))).toMatch("0 frames per second");
    expect(await refusalOf(open("refused.mp4", { crf: 99 }))).toMatch("crf is 99");
    expect(await refusalOf(open("refused.avi", {}))).toMatch("extension must be .mp4");
    const wrong = await open("refused.mp4", {});
    expect(await refusalOf(wrong.write(numberedFrame(0, 64, 64)))).toMatch("64x64 frame for a 96x64 video");
    const none = await open("refused.mp4", {});
    expect(await refusalOf(none.close())).toMatch("no frame was given");
    await writeFile(at("in-the-way"), "");
    expect(await refusalOf(open("in-the-way/out.mp4", {}))).toMatch("cannot write");
    expect((await readdir(folder)).filter((name) => name.includes("refused"))).toEqual([]);
  });

  // Systems without this device cannot pretend to be full.
  it.each(existsSync("/dev/full") ? ["/dev/full"] : [])("says that the disk is full (%s)", async (device) => {
    const target = join(folder, `full-${backend.name}.mp4`);
    await symlink(device, temporaryPath(target));
    const frames = Array.from({ length: 30 }, (_, n) => numberedFrame(n * 8, 320, 240));
    expect(await refusalOf(encodeAll(backend, target, frames, { crf: 0 }))).toMatch("the disk is full");
    expect((await readdir(folder)).filter((name) => name.includes(basename(target)))).toEqual([]);
  });
});

describe.each(backends)("sound with $name", (backend) => {
  it("is copied as it is and cut to the pictures", async () => {
    const original = audioPackets(at("sound.mp4"));
    const options = { audioFrom: { path: at("sound.mp4") } };
    expect(await encodeAll(backend, at("dubbed.mp4"), numberedFrames(25), options)).toEqual({
      numFrames: 25,
      audio: "copied",
    });
    const copied = audioPackets(at("dubbed.mp4"));
    expect(copied.map(({ data }) => data)).toEqual(original.slice(0, copied.length).map(({ data }) => data));
    copied.forEach(({ timeS }, i) => expect(timeS).toBeCloseTo(original[i]!.timeS, 2));
    // One second, to the packet of 1024 samples at 8 kHz.
    expect(copied.at(-1)!.timeS).toBeLessThan(1);
    expect(copied.at(-1)!.timeS).toBeGreaterThan(1 - 2 * 0.128);
    expect(await nodeAvBackend.probe(at("dubbed.mp4"))).toMatchObject({
      numFrames: 25,
      durationS: 1,
      hasAudio: true,
    });
    await encodeAll(backend, at("dubbed-again.mp4"), numberedFrames(25), options);
    expect(await readFile(at("dubbed-again.mp4"))).toEqual(await readFile(at("dubbed.mp4")));
  });

  it("may be shorter than the pictures", async () => {
    await encodeAll(backend, at("long.mp4"), numberedFrames(75), { audioFrom: { path: at("sound.mp4") } });
    expect(await nodeAvBackend.probe(at("long.mp4"))).toMatchObject({ numFrames: 75, durationS: 3 });
    expect(audioPackets(at("long.mp4"))).toHaveLength(audioPackets(at("sound.mp4")).length);
  });

  it.each([0, 1, 1.03])("begins and ends with the pictures, to the sample (from %f s)", async (startS) => {
    const original = await audibleSamples(at("sound.mp4"));
    const audioFrom = { path: at("sound.mp4"), startS };
    await encodeAll(backend, at("part.mp4"), numberedFrames(20), { audioFrom });
    const part = await audibleSamples(at("part.mp4"));
    expect(part.startS).toBe(0);
    expect(part.samples).toHaveLength(0.8 * part.rate);
    const from = Math.round(startS * part.rate);
    const expected = original.samples.slice(from, from + part.samples.length);
    // The same packets: the same sound, from the first sample on.
    expect(Math.max(...part.samples.map((value, i) => Math.abs(value - expected[i]!)))).toBeLessThan(1e-3);
  });

  it.each([
    ["PCM in MOV", "mov", "pcm_s16le", 44100, 0],
    ["PCM in MOV", "mov", "pcm_s16le", 44100, 1.03],
    ["PCM in AVI", "avi", "pcm_s16le", 8000, 1.03],
    ["Vorbis in Matroska", "mkv", "vorbis", 44100, 0],
    ["Vorbis in Matroska", "mkv", "vorbis", 44100, 1.03],
    ["Opus in Matroska", "mkv", "opus", 48000, 1.03],
    ["FLAC in Matroska", "mkv", "flac", 44100, 1.03],
    ["AAC in Matroska", "mkv", "aac", 44100, 1.03],
  ] as const)("of %s, %s, begins and ends with the pictures too", async (_, ending, codec, rate, startS) => {
    const path = at(`${codec}.${ending}`);
    const audio = { codec, rate, lengthS: 2 };
    await writeSampleVideo(path, { frames: numberedFrames(50), timesS: every(50, 25), audio });
    const audioFrom = { path, startS };
    const outcome = await encodeAll(backend, at("spoken.mp4"), numberedFrames(20), { audioFrom });
    expect(outcome).toEqual({
      numFrames: 20,
      audio: codec === "aac" && backend.name === "node-av" ? "copied" : "encoded",
    });
    const spoken = await audibleSamples(at("spoken.mp4"));
    expect(spoken).toMatchObject({ startS: 0, rate });
    expect(spoken.samples).toHaveLength(0.8 * rate);
    const late = lateness(spoken.samples, Math.round(startS * rate));
    // Matroska's times are in milliseconds, and the program goes by times.
    const tolerance = ending === "mkv" && backend.name === "ffmpeg" ? rate / 1000 : 0;
    expect(Math.abs(late)).toBeLessThanOrEqual(tolerance);
  });

  it("says when there is none, or none that can be decoded", async () => {
    const silent = { audioFrom: { path: at("even.mp4") } };
    expect(await encodeAll(backend, at("mute.mp4"), numberedFrames(3), silent)).toMatchObject({
      audio: "none",
    });
    await writeSampleVideo(at("odd.mkv"), {
      frames: numberedFrames(5),
      timesS: every(5, 25),
      audio: { codec: "pcm_s16le", lengthS: 0.2 },
    });
    const odd = await readFile(at("odd.mkv"), "latin1");
    await writeFile(at("odd.mkv"), odd.replace("A_PCM/INT/LIT", "A_ODD/INT/LIT"), "latin1");
    const raw = { audioFrom: { path: at("odd.mkv") } };
    expect(await encodeAll(backend, at("mute.mp4"), numberedFrames(3), raw)).toMatchObject({
      audio: "unsupported",
    });
    expect(
      await refusalOf(
        backend.openEncoder(at("x.mp4"), { width: 2, height: 2, fps: 1, audioFrom: { path: at("no") } }),
      ),
    ).toMatch("does not exist");
  });
});

/** By how many samples a sample's sound is late, if it should begin with sample `from`. */
function lateness(samples: readonly number[], from: number): number {
  const mismatch = (late: number): number => {
    let sum = 0;
    for (let i = 2000; i < samples.length - 2000; i += 11) {
      sum += Math.abs(samples[i]! - toneAt(from + i - late));
    }
    return sum;
  };
  const candidates = Array.from({ length: 201 }, (_, i) => i - 100);
  const sums = candidates.map(mismatch);
  return candidates[sums.indexOf(Math.min(...sums))]!;
}
