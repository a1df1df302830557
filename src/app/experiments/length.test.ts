/** Long videos of a tiny model with random weights, and what the figures make of spoilt ones. */
import { mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { LoadedModel } from "../../diffusion/loaded-model.ts";
import { writeTinyModel } from "../../diffusion/testing.ts";
import { seamJumpRatio } from "../../evaluation/seam-jump.ts";
import { featureConsistency } from "../../evaluation/temporal-consistency.ts";
import type { Image } from "../../media/pixels.ts";
import { EMBEDDED_MODEL } from "../../pipeline/request.ts";
import { Random } from "../../tensor/random.ts";
import { type HeldOutClip, renderHeldOutClip } from "../evaluate/held-out-clip.ts";
import { mean } from "../evaluate/figures.ts";
import { HELD_OUT_SERIES } from "../evaluate/series.ts";
import { lengthPlot } from "./length-chart.ts";
import { lengthMarkdown } from "./length-report.ts";
import { type LongClip, measureFrames } from "./long-clip.ts";
import { experimentJson } from "./report.ts";
import { SPAN_METRICS, measureSpan, windowSpans } from "./spans.ts";
import { videoLength } from "./video-length.ts";

let folder: string;
let model: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "posegen-length-"));
  model = await writeTinyModel(join(folder, "model"));
});
afterAll(() => rm(folder, { recursive: true }));

function lengthOf(changes: Partial<Parameters<typeof videoLength>[0]>) {
  return videoLength({
    model,
    seconds: [2, 1],
    numClips: 2,
    numJobs: 2,
    seed: 0,
    work: join(folder, "clips"),
    ...changes,
  });
}

async function timesOfClips(): Promise<Record<string, number>> {
  const names = (await readdir(join(folder, "clips"), { recursive: true })).filter((name) =>
    /long.*\.\w+$/.test(name),
  );
  const times = names.sort().map(async (name) => [name, (await stat(join(folder, "clips", name))).mtimeMs]);
  return Object.fromEntries((await Promise.all(times)) as [string, number][]);
}

test("a long video in lengths and windows, and no clip made twice", { timeout: 600_000 }, async () => {
  const { result, sheet } = await lengthOf({});
  expect(result.settings).toMatchObject({ numClips: 2, numFrames: 32, width: 32, height: 48, fps: 16 });
  expect(result.lengths.map(({ fromS, toS }) => [fromS, toS])).toEqual([
    [0, 1],
    [0, 2],
  ]);
  expect(result.windows.map(({ fromS, toS }) => [fromS, toS])).toEqual([
    [0, 1],
    [1, 2],
  ]);
  expect(result.windows[0]).toEqual(result.lengths[0]);
  for (const { videos } of [...result.lengths, ...result.windows]) {
    const { truth, vae, generated } = videos;
    expect([truth.backgroundPsnr, truth.personPsnr]).toEqual([undefined, undefined]);
    for (const metric of Object.keys(SPAN_METRICS) as (keyof typeof SPAN_METRICS)[]) {
      expect(vae[metric], metric).toBeGreaterThan(0);
      expect(generated[metric], metric).toBeGreaterThan(0);
    }
    // The same person, who has moved, against a model that has learnt nothing.
    expect(truth.identity!).toBeLessThan(generated.identity!);
    expect(truth.consistency!).toBeLessThan(1);
  }
  // Rows of truth and generated frames: the reference, then the first and the last frame, of 32x48.
  expect([sheet.width, sheet.height]).toEqual([3 * 32 + 4, 4 * (48 + 4) - 4]);

  const markdown = lengthMarkdown(result);
  expect(markdown).toContain("2 held-out clips of 32 frames of 32x48 at 16 per second, in segments of 9");
  expect(markdown).toMatch(/^\| generated \| 0\.\d{4} \| 0\.\d{4} \| -?\d+\.\d\d \|$/m);
  expect(markdown).toMatch(/^\| background PSNR, dB \| generated \|/m);
  expect(markdown).not.toMatch(/NaN|undefined|Infinity/);
  expect(lengthPlot(result)).toContain("temporal consistency");
  expect(lengthPlot(result)).not.toMatch(/NaN|undefined/);

  const before = await timesOfClips();
  expect(Object.keys(before).length).toBeGreaterThanOrEqual(4);
  expect(experimentJson((await lengthOf({ numJobs: 1 })).result)).toBe(experimentJson(result));
  const other = await lengthOf({ seconds: [2], numClips: 1 });
  expect(other.result.lengths).toEqual(result.clips[0]!.lengths.slice(1));
  expect(other.result.windows).toEqual(other.result.lengths);
  expect(await timesOfClips()).toEqual(before);
});

test("lengths are whole seconds", async () => {
  await expect(lengthOf({ seconds: [] })).rejects.toThrow("whole numbers");
  await expect(lengthOf({ seconds: [0.5] })).rejects.toThrow("got lengths of 0.5 seconds");
});

test("windows follow one another", () => {
  expect(windowSpans(7, 3)).toEqual([
    { fromS: 0, toS: 3 },
    { fromS: 3, toS: 6 },
  ]);
});

test("a stretch counts its own frames, and seams apart", () => {
  const frame = (f: number) => ({
    figures: { ...(f > 0 && { consistency: f < 16 ? 0.5 : 1, change: f === 20 ? 0.4 : 0.2 }) },
    person: [f < 16 ? 0 : 3, f % 2 === 0 ? 4 : -4],
  });
  const frames = Array.from({ length: 32 }, (_, f) => frame(f));
  const videos = { truth: frames, vae: frames, generated: frames };
  const clip: LongClip = { index: 0, caption: "", seams: [20], reference: [0, 0], videos };
  const figures = (fromS: number, toS: number) => measureSpan(clip, { fromS, toS }, 2).videos.generated;
  const first = figures(0, 1);
  expect(first).toMatchObject({ consistency: 0.5, identity: 0 });
  expect(first.change).toBeCloseTo(0.2, 12);
  expect(first.seamJump).toBeUndefined();
  // People are compared by what all frames have in common; the unit is 2.
  expect(figures(1, 2)).toMatchObject({ consistency: 1, seamJump: 2, identity: 1.5 });
  expect(figures(0, 2)).toMatchObject({ consistency: (15 * 0.5 + 16) / 31, seamJump: 2, identity: 0.75 });
});

test("what spoils a video lowers its figures", { timeout: 120_000 }, async () => {
  const clipOf = (index: number) => renderHeldOutClip({ ...HELD_OUT_SERIES, numFrames: 13 }, index);
  const [clip, other] = [clipOf(0), clipOf(5)] as [HeldOutClip, HeldOutClip];
  const change = (image: Image, value: (byte: number, i: number) => number): Image => ({
    ...image,
    data: image.data.map((byte, i) => Math.min(255, Math.max(0, Math.round(value(byte, i))))),
  });
  const random = new Random(1);
  const truth = clip.frames;
  const spoilt = {
    truth,
    still: truth.map(() => truth[0]!),
    noisy: truth.map((image) => {
      const noise = random.normals(image.data.length);
      return change(image, (byte, i) => byte + 10 * noise[i]!);
    }),
    halting: truth.map((_, f) => truth[f - (f % 2)]!),
    fading: truth.map((image, f) => change(image, (byte) => byte + ((128 - byte) * f) / 24)),
    changing: truth.map((image, f) => (f % 8 < 4 ? image : other.frames[f]!)),
  };
  const loaded = await LoadedModel.open(EMBEDDED_MODEL, { device: "cpu", threads: 1 });
  const measured = new Map<string, Awaited<ReturnType<typeof measureFrames>>>();
  for (const [name, frames] of Object.entries(spoilt))
    measured.set(name, await measureFrames(frames, clip, loaded.vae));
  const figure = (name: keyof typeof spoilt, metric: "consistency" | "firstConsistency" | "backgroundPsnr") =>
    mean(measured.get(name)!.flatMap(({ figures }) => figures[metric] ?? []));

  const features: Float32Array[] = [];
  for (const frame of truth) features.push((await loaded.vae.encode([frame])).data);
  await loaded.release();
  expect(figure("truth", "consistency")).toBeCloseTo(featureConsistency(features), 12);
  expect(figure("truth", "firstConsistency")).toBeCloseTo(featureConsistency(features, "first"), 12);
  const jump = measured.get("changing")!.map(({ figures }) => figures.change ?? 0);
  expect(jump[4]! / jump[3]!).toBeGreaterThan(2);
  expect(seamJumpRatio(spoilt.changing, new Set([4, 8, 12]))).toBeGreaterThan(2);

  expect(figure("still", "consistency")).toBeCloseTo(1, 6);
  expect(figure("truth", "consistency")).toBeGreaterThan(0.95);
  for (const name of ["noisy", "halting", "changing"] as const) {
    expect(figure(name, "consistency"), name).toBeLessThan(figure("truth", "consistency") - 0.002);
  }
  // What goes slowly shows only beside the truth.
  expect(figure("fading", "consistency")).toBeCloseTo(figure("truth", "consistency"), 2);
  const psnrs = measured.get("fading")!.map(({ figures }) => figures.backgroundPsnr ?? Infinity);
  expect(psnrs[12]!).toBeLessThan(psnrs[1]! - 15);
});
