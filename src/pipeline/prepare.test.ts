import { mkdtemp, readFile, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { decodeVideo, probeVideo } from "../media/video.ts";
import { planGeneration } from "./generation-plan.ts";
import { prepare } from "./prepare.ts";
import type { GenerateEvent } from "./progress.ts";
import { type TinyInputs, writeTinyInputs } from "./testing.ts";

const NUM_FRAMES = 6;

let folder: string;
let inputs: TinyInputs;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "posegen-prepare-"));
  inputs = await writeTinyInputs(join(folder, "inputs"), NUM_FRAMES);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe("prepare", () => {
  test("finds the person and writes poses, conditions and an overlay", async () => {
    const { model, video } = inputs;
    const out = join(folder, "seen");
    const events: GenerateEvent[] = [];
    const found = await prepare({ model, video, out }, { onProgress: (event) => events.push(event) });
    expect(found).toMatchObject({
      numFrames: NUM_FRAMES,
      numWithBody: NUM_FRAMES,
      fps: 8,
      width: 32,
      height: 48,
      shot: "full-body",
    });
    expect((await readdir(out)).sort()).toEqual([
      "hand-normals.mp4",
      "keypoints.jsonl",
      "overlay.mp4",
      "skeleton.mp4",
      "summary.json",
    ]);
    expect(JSON.parse(await readFile(found.files.summary, "utf8"))).toEqual(found);
    expect(await probeVideo(found.files.skeleton)).toMatchObject({
      width: 32,
      height: 48,
      numFrames: NUM_FRAMES,
    });
    expect(await probeVideo(found.files.overlay!)).toMatchObject({ width: 128, height: 192 });
    expect(events.at(-1)).toMatchObject({ phase: "write", fraction: 1, step: NUM_FRAMES });
  });

  test("draws given poses at another size and rate", async () => {
    const { model, keypoints } = inputs;
    const request = { model, keypoints, out: join(folder, "given"), size: "64x96", fps: 4 } as const;
    const found = await prepare(request);
    expect(found).toMatchObject({ numFrames: NUM_FRAMES / 2, files: { keypoints: null, overlay: null } });
    for await (const { image } of decodeVideo(found.files.skeleton)) {
      expect([image.width, image.height]).toEqual([64, 96]);
      expect(Math.max(...image.data)).toBeGreaterThan(150);
    }
  });

  test("draws the overlay where the person is", async () => {
    const { model, video, keypoints } = inputs;
    const { files } = await prepare({ model, video, keypoints, out: join(folder, "overlaid") });
    let numChanged = 0;
    const originals = decodeVideo(video);
    for await (const { image } of decodeVideo(files.overlay!)) {
      const original = (await originals.next()).value!.image;
      numChanged += image.data.filter((value, i) => Math.abs(value - original.data[i]!) > 60).length;
    }
    const share = numChanged / (NUM_FRAMES * 128 * 192 * 3);
    expect(share).toBeGreaterThan(0.01);
    expect(share).toBeLessThan(0.2);
  });
});

describe("planGeneration", () => {
  const request = () => {
    const { model, image, video, keypoints } = inputs;
    return { model, image, video, keypoints, out: join(folder, "planned.mp4"), threads: 1 };
  };

  test("tells segments, tokens, operations, memory and time, and writes nothing", async () => {
    const { keypoints: _, ...seen } = request();
    const plan = await planGeneration({ ...seen, fps: 30 });
    // 6 frames at 8 per second are 23 at 30.
    expect(plan.plan).toMatchObject({ numFrames: 23, segmentFrames: 9 });
    expect(plan.plan.segments).toHaveLength(5);
    expect(plan.tokens).toEqual({ video: 3 * 3 * 2, ref: 3 * 2, text: 16, image: 5 });
    expect(plan.sharing).toMatchObject({ shot: "full-body", steps: [0, 2] });
    expect(plan.work.baseFlops / plan.work.interpolateFlops).toBeGreaterThan(3 / 2);
    const { totalFlops, ...parts } = plan.work;
    expect(Object.values(parts).reduce((a, b) => a + b)).toBe(totalFlops);
    const { total, ...phases } = plan.estimatedMs;
    expect(Object.values(phases).reduce((a, b) => a + b)).toBeCloseTo(total);
    expect(plan.memory.totalBytes).toBeGreaterThan(plan.memory.weightBytes);
    expect(plan.diskBytes).toBe(5 * 9 * 32 * 48 * 3);
    expect(await readdir(folder)).not.toContain("planned.mp4.work");
  });

  test("needs no perception for given poses, and shares nothing in a single segment", async () => {
    const plan = await planGeneration(request());
    expect(plan.estimatedMs.perceive).toBe(0);
    expect(plan.sharing).toBeNull();
    expect(plan.memory.sharedKeyBytes).toBe(0);
  });

  test("refuses what generate refuses", async () => {
    await expect(planGeneration({ ...request(), image: "none.png" })).rejects.toThrow(/does not exist/);
    await expect(planGeneration({ ...request(), anchor: 2 })).rejects.toThrow(/cannot be the anchor/);
    const longer = { ...request(), fps: 30 };
    await expect(planGeneration({ ...longer, subject: "robot", prompt: "A man." })).rejects.toThrow(
      /not in the prompt/,
    );
  });
});
