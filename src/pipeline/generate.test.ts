import { existsSync } from "node:fs";
import { cp, mkdir, mkdtemp, readFile, readdir, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createImage } from "../media/pixels.ts";
import { writeImage } from "../media/image.ts";
import { probeVideo } from "../media/video.ts";
import { UserError } from "../tensor/errors.ts";
import { generateEvents } from "./generate-events.ts";
import { generate } from "./generate.ts";
import type { GenerateEvent, ProgressEvent } from "./progress.ts";
import type { GenerateRequest } from "./request.ts";
import { type TinyInputs, writeTinyInputs } from "./testing.ts";
import { hashFile } from "./work-directory.ts";

const NUM_FRAMES = 20;

let folder: string;
let inputs: TinyInputs;
/** The result of an uninterrupted run, and what it told. */
let golden: { hash: string; events: readonly GenerateEvent[] };
let numOutputs = 0;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "posegen-generate-"));
  inputs = await writeTinyInputs(join(folder, "inputs"), NUM_FRAMES);
  golden = await run(request());
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** A request for given poses and a new output. */
function request(change: Partial<GenerateRequest> = {}): GenerateRequest {
  const { model, image, keypoints } = inputs;
  const out = join(folder, `out-${numOutputs++}.mp4`);
  return { model, image, keypoints, align: "off", out, threads: 1, ...change };
}

async function run(asked: GenerateRequest): Promise<typeof golden> {
  const events: GenerateEvent[] = [];
  const { out } = await generate(asked, { onProgress: (event) => events.push(event) });
  return { hash: await hashFile(out), events };
}

/** What was worked on, each step once. */
function stepsOf(events: readonly GenerateEvent[]): string[] {
  const progress = events.filter((event): event is ProgressEvent => event.type === "progress");
  return progress.map(({ activity, segment, step }) => `${activity} ${segment} ${step}`);
}

describe("a whole run", () => {
  test("makes every segment, the anchor first, and a video as long as the driver", async () => {
    const asked = request();
    const { events } = await run(asked);
    const order = events.flatMap((event) => (event.type === "progress" ? [event.segment] : []));
    expect([...new Set(order)]).toEqual([0, 2, 1, null]);
    expect(await probeVideo(asked.out)).toMatchObject({
      width: 32,
      height: 48,
      frameRate: 8,
      numFrames: NUM_FRAMES,
    });
    expect(existsSync(`${asked.out}.work`)).toBe(false);
    expect(events.at(-1)).toMatchObject({
      type: "finished",
      result: { out: asked.out, numFrames: NUM_FRAMES, fps: 8, numSegments: 3, audio: "none", workDir: null },
    });
    expect(events.find(({ type }) => type === "plan")).toMatchObject({
      plan: { numFrames: NUM_FRAMES, segmentFrames: 9, headFrames: 1, tailFrames: 4 },
      sharing: { shot: "full-body", steps: [0, 2], blocks: [1, 2], mode: "paper" },
    });
  });

  test("gives the same bytes again", async () => {
    expect((await run(request())).hash).toBe(golden.hash);
  });

  test("gives the same bytes with the anchor's keys on the disk, and leaves none of them", async () => {
    const workDir = join(folder, "keys-on-disk");
    expect((await run(request({ kvPlace: "disk", workDir }))).hash).toBe(golden.hash);
    expect((await readdir(workDir)).filter((name) => name.includes("keys"))).toEqual([]);
  });

  test("tells how far each phase is", () => {
    for (const phase of ["base", "interpolate", "write"]) {
      const events = golden.events.filter((event) => event.type === "progress" && event.phase === phase);
      const fractions = events.map((event) => (event as ProgressEvent).fraction);
      expect(fractions).toEqual(fractions.toSorted((a, b) => a - b));
      expect(fractions.at(-1)).toBeCloseTo(1);
      expect(events.at(-1)).toMatchObject({ remainingMs: expect.closeTo(0, 0) });
    }
  });

  test.each([
    { seed: 1 },
    { prompt: "A woman is dancing" },
    { steps: 2, guidanceScale: 1 },
    { kvShare: "off" },
    { kvMode: "official" },
    { kvPrecision: "int8" },
    { anchor: 2 },
  ] as const)("%j makes another video", async (change) => {
    expect((await run(request(change))).hash).not.toBe(golden.hash);
  });

  test("takes LoRAs with weights, in the request or in the model's description", async () => {
    const other = join(inputs.model, "phase2.safetensors");
    expect((await run(request({ loras: [`${other}:0`] }))).hash).toBe(golden.hash);
    const { hash } = await run(request({ loras: [{ path: other, weight: -0.5 }] }));
    expect(hash).not.toBe(golden.hash);

    const model = join(folder, "model-with-lora");
    await cp(inputs.model, model, { recursive: true });
    const description = JSON.parse(await readFile(join(model, "model.json"), "utf8"));
    await cp(other, join(model, "style.safetensors"));
    const loras = [{ file: "style.safetensors", weight: -0.5 }];
    await writeFile(join(model, "model.json"), JSON.stringify({ ...description, loras }));
    expect((await run(request({ model }))).hash).toBe(hash);
    loras[0]!.file = "../model/phase2.safetensors";
    await writeFile(join(model, "model.json"), JSON.stringify({ ...description, loras }));
    await expect(run(request({ model }))).rejects.toThrow(/expected the name of a file or folder beside/);
  });

  test("takes any length, size and rate", async () => {
    const asked = request({ size: "48x32", fps: 3.7 });
    await run(asked);
    const info = await probeVideo(asked.out);
    expect(info).toMatchObject({ width: 48, height: 32, numFrames: Math.ceil((NUM_FRAMES / 8) * 3.7) });
  });

  test("sees the driving video itself, with its person, and copies no sound where there is none", async () => {
    const { keypoints: _, ...asked } = request();
    const { events } = await run({ ...asked, video: inputs.video });
    const looks = stepsOf(events).filter((step) => /^(?:survey|perceive) /.test(step));
    const counted = [...new Array(NUM_FRAMES).keys()].map((i) => `null ${i + 1}`);
    expect(looks.slice(0, 2 * NUM_FRAMES)).toEqual([
      ...counted.map((step) => `survey ${step}`),
      ...counted.map((step) => `perceive ${step}`),
    ]);
    expect(await probeVideo(asked.out)).toMatchObject({ numFrames: NUM_FRAMES });
  });
});

describe("a run that is stopped", () => {
  test.each([
    "encode 0 9",
    "denoise 0 1",
    "decode 0 4",
    "denoise 2 1",
    "denoise 2 2",
    "decode 2 9",
    "denoise 1 3",
    "write null 10",
  ])("at %s goes on and ends with the same bytes", async (point) => {
    const asked = request();
    const controller = new AbortController();
    const onProgress = (event: GenerateEvent): void => {
      if (stepsOf([event])[0] === point) controller.abort(new Error("enough"));
    };
    await expect(generate(asked, { signal: controller.signal, onProgress })).rejects.toThrow("enough");
    expect(existsSync(asked.out)).toBe(false);

    const { hash, events } = await run(asked);
    expect(hash).toBe(golden.hash);
    const before = stepsOf(golden.events);
    const done = before.slice(0, before.indexOf(point));
    const repeated = stepsOf(events).filter((step) => done.includes(step));
    // Finished denoising steps are on disk; the anchor's are repeated for their keys, as another activity if need be.
    expect(repeated.filter((step) => /^denoise [1-4]/.test(step))).toEqual([]);
    if (point === "denoise 2 1") expect(stepsOf(events)).toContain("recapture 0 2");
    if (point === "denoise 2 2") expect(stepsOf(events).join()).not.toContain("recapture");
  });

  test("before anything is finished leaves nothing behind", async () => {
    const asked = request();
    await expect(generate(asked, { signal: AbortSignal.abort(new Error("no")) })).rejects.toThrow("no");
    const controller = new AbortController();
    const onProgress = () => controller.abort(new Error("early"));
    await expect(generate(asked, { signal: controller.signal, onProgress })).rejects.toThrow("early");
    expect(existsSync(`${asked.out}.work`)).toBe(false);
  });

  test("starts again when asked to, whatever the settings of the work found", async () => {
    const workDir = join(folder, "restarted");
    await run(request({ workDir, seed: 5 }));
    const { hash, events } = await run(request({ workDir, resume: false }));
    expect(hash).toBe(golden.hash);
    expect(stepsOf(events)).toEqual(stepsOf(golden.events));
  });
});

describe("a work directory given by name", () => {
  let workDir: string;
  beforeAll(async () => {
    workDir = join(folder, "work");
    await run(request({ workDir }));
  });

  test("is kept, with the frames of all segments and without latents, and makes the next run short", async () => {
    const names = await readdir(workDir);
    expect(names.filter((name) => name.endsWith(".frames"))).toHaveLength(3);
    expect(names.filter((name) => /latents|partial|lock/.test(name))).toEqual([]);
    const { hash, events } = await run(request({ workDir }));
    expect(hash).toBe(golden.hash);
    expect(stepsOf(events).every((step) => step.startsWith("write"))).toBe(true);
  });

  test("is refused to other settings, and mended when a file in it is damaged", async () => {
    await expect(run(request({ workDir, seed: 1 }))).rejects.toThrow(/other settings: seed was 0, now 1/);
    const loras = [join(inputs.model, "phase1.safetensors:0.5")];
    await expect(run(request({ workDir, loras }))).rejects.toThrow(
      /lora 1 was none, now sha256 [0-9a-f]{64}, weight 0.5/,
    );
    await truncate(join(workDir, "segment-0002.frames"), 100);
    const { hash, events } = await run(request({ workDir }));
    expect(hash).toBe(golden.hash);
    expect(stepsOf(events).filter((step) => step.startsWith("decode"))).toHaveLength(9);
  });

  test("is never a folder with other things", async () => {
    const foreign = join(folder, "foreign");
    await mkdir(foreign);
    await writeFile(join(foreign, "thesis.txt"), "precious");
    await expect(run(request({ workDir: foreign, resume: false }))).rejects.toThrow(/holds other files/);
    expect(await readdir(foreign)).toEqual(["thesis.txt"]);
  });
});

describe("bad input is refused, and leaves nothing behind:", () => {
  async function refusal(asked: GenerateRequest): Promise<string> {
    const error: unknown = await generate(asked).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(UserError);
    expect(existsSync(asked.out) && asked.out !== asked.video).toBe(false);
    expect(existsSync(`${asked.out}.work`)).toBe(false);
    return (error as UserError).message;
  }

  test("files that are missing or something else", async () => {
    expect(await refusal(request({ image: "none.png" }))).toMatch(/none.png does not exist/);
    expect(await refusal(request({ image: inputs.keypoints }))).toMatch(/cannot be read as an image/);
    expect(await refusal(request({ video: inputs.image }))).toMatch(/reference.png/);
    expect(await refusal(request({ keypoints: inputs.image }))).toMatch(/line/);
    expect(await refusal(request({ model: folder }))).toMatch(/is not a model folder/);
    expect(await refusal(request({ loras: ["none.safetensors:0.5"] }))).toMatch(
      /cannot open none.safetensors:/,
    );
    const vae = join(inputs.model, "vae.safetensors");
    expect(await refusal(request({ loras: [vae] }))).toMatch(
      /changes ".*", which the denoiser does not have/,
    );
  });

  test("a driving video without a person, and a reference image without one", async () => {
    const empty = join(folder, "empty.png");
    await writeImage(empty, createImage(128, 192, [90, 120, 60]));
    const { keypoints: _, ...asked } = request({ video: inputs.video, image: empty });
    expect(await refusal(asked)).toMatch(/no person was found in .*empty.png/);
  });

  test("an output that is an input, or a folder", async () => {
    const video = join(folder, "driver.mp4");
    await cp(inputs.video, video);
    expect(await refusal(request({ video, out: video }))).toMatch(/is the video itself/);
    await mkdir(join(folder, "folder.mp4"));
    const error = generate(request({ out: join(folder, "folder.mp4") }));
    await expect(error).rejects.toThrow(/folder.mp4 is a folder/);
  });

  test("settings that do not fit the model or the driver", async () => {
    expect(await refusal(request({ segmentFrames: 10 }))).toMatch(/expected 4k \+ 1/);
    expect(await refusal(request({ headFrames: 5, tailFrames: 4 }))).toMatch(/leave nothing to interpolate/);
    expect(await refusal(request({ anchor: 8 }))).toMatch(/segment 8 cannot be the anchor/);
    expect(await refusal(request({ kvShare: "0..9:0..1" }))).toMatch(/the run has 3/);
    expect(await refusal(request({ kvShare: "0..1:0..3" }))).toMatch(/the model has 2/);
    expect(await refusal(request({ device: "abacus" }))).toMatch(/unknown device "abacus"/);
    expect(await refusal(request({ subject: "robot", prompt: "A man." }))).toMatch(
      /"robot" is not in the prompt/,
    );
    const nobody = { prompt: "Dancing in the rain", kvShare: "full-body" } as const;
    expect(await refusal(request(nobody))).toMatch(/no word of the prompt .* name it with subject/);
  });

  test("a model with missing and mis-shaped tensors", async () => {
    const model = join(folder, "other-model");
    await cp(inputs.model, model, { recursive: true });
    const description = JSON.parse(await readFile(join(model, "model.json"), "utf8"));
    description.dit.ffnDim *= 2;
    await writeFile(join(model, "model.json"), JSON.stringify(description));
    expect(await refusal(request({ model }))).toMatch(/"blocks.0.ffn.0.weight" (has shape|as) \[.*\]/);
    description.dit.ffnDim /= 2;
    description.vae.zDim = 8;
    await writeFile(join(model, "model.json"), JSON.stringify(description));
    expect(await refusal(request({ model }))).toMatch(/dit.outDim is 16; expected 8, as vae.zDim/);
    description.vae.zDim = 16;
    description.vae.decoder.dim *= 2;
    await writeFile(join(model, "model.json"), JSON.stringify(description));
    expect(await refusal(request({ model }))).toMatch(/the VAE[^]*has shape \[.*\], expected \[/);
    description.dit.numLayers = 1e9;
    await writeFile(join(model, "model.json"), JSON.stringify(description));
    expect(await refusal(request({ model }))).toMatch(/dit.numLayers is 1000000000; expected at most 256/);
  });

  test("nobody to share for is only said where sharing was not asked for", async () => {
    const { events } = await run(request({ prompt: "Dancing in the rain" }));
    const notices = events.flatMap((event) => (event.type === "notice" ? [event.message] : []));
    expect(notices.join()).toMatch(/share no background/);
  });
});

describe("events", () => {
  test("come as a sequence that ends with the result", async () => {
    const events: GenerateEvent[] = [];
    for await (const event of generateEvents(request())) events.push(event);
    expect(stepsOf(events)).toEqual(stepsOf(golden.events));
    expect(events.at(-1)).toMatchObject({ type: "finished" });
  });

  test("stop the run when nobody takes them any more", async () => {
    const asked = request();
    for await (const event of generateEvents(asked)) {
      if (stepsOf([event])[0] === "denoise 0 2") break;
    }
    expect(existsSync(asked.out)).toBe(false);
    expect((await run(asked)).hash).toBe(golden.hash);
  });

  test("end with the failure", async () => {
    const events = generateEvents(request({ image: "none.png" }));
    await expect(events.next()).rejects.toThrow(UserError);
  });
});
