import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { renderFrames } from "../avatar/clip.ts";
import { makeIdentity } from "../avatar/identity.ts";
import { makeMotion } from "../avatar/motion.ts";
import { makeScene } from "../avatar/scene.ts";
import { transformPose } from "../media/pose-keypoints.ts";
import { crop } from "../media/resize.ts";
import { openVideoEncoder } from "../media/video.ts";
import type { BackgroundMotion } from "../perception/background-motion.ts";
import type { PersonFrame } from "../perception/person-frame.ts";
import { judgeSegments, remarkOnAnchor, stillest } from "./anchor.ts";
import { watchBackground } from "./background.ts";
import { generate } from "./generate.ts";
import { writeKeypoints } from "./keypoints-file.ts";
import { planSegments } from "./plan.ts";
import { prepare } from "./prepare.ts";
import { ProgressMeter } from "./progress-meter.ts";
import { type TinyInputs, writeTinyInputs } from "./testing.ts";

const SIZE = { width: 128, height: 192 };
const MARGIN = 32;
const FPS = 8;
/** Base segments are frames 0 to 8, 13 to 21 and 26 to 34. */
const NUM_FRAMES = 35;
const plan = planSegments(NUM_FRAMES, { segmentFrames: 9 });

let folder: string;
let inputs: TinyInputs;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "posegen-anchor-"));
  inputs = await writeTinyInputs(join(folder, "inputs"), 1);
  for (const name of Object.keys(CAMERAS) as (keyof typeof CAMERAS)[]) await film(name);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

type Camera = (t: number) => readonly [left: number, top: number];

const panning: Camera = (t) => [t - 17, 0];
const shaking: Camera = (t) => [3 * Math.sin(2.1 * t), 3 * Math.cos(1.7 * t)];
/** At rest during one base segment only. */
const restingIn =
  (segment: number, moving: Camera): Camera =>
  (t) => {
    const { start } = plan.segments[segment]!;
    return moving(Math.min(start + 8, Math.max(start, t)) === t ? start : t);
  };

const CAMERAS = {
  tripod: () => [0, 0],
  "pan, rest in 0": restingIn(0, panning),
  "pan, rest in 2": restingIn(2, panning),
  "shake, rest in 2": restingIn(2, shaking),
  "shake, rest in 4": restingIn(4, shaking),
  "pan throughout": panning,
  "shake throughout": shaking,
} satisfies Record<string, Camera>;

const videoOf = (name: string): string => join(folder, `${name}.mp4`);
const posesOf = (name: string): string => join(folder, `${name}.jsonl`);

let dance: ReturnType<typeof renderDance> | undefined;

/** A dancer before a larger part of the scene than cameras see. */
function renderDance() {
  const [width, height] = [SIZE.width + 2 * MARGIN, SIZE.height + 2 * MARGIN];
  const scene = { ...makeScene(3), shot: "full body", span: [-0.25, 1.35] } as const;
  const person = { identity: makeIdentity(14), motion: makeMotion(5) };
  return [...renderFrames({ ...person, scene, numFrames: NUM_FRAMES, width, height, fps: FPS })];
}

async function film(name: keyof typeof CAMERAS): Promise<void> {
  dance ??= renderDance();
  const encoder = await openVideoEncoder(videoOf(name), { ...SIZE, fps: FPS });
  const frames: PersonFrame[] = [];
  for (const [index, { image, keypoints }] of dance.entries()) {
    const [x, y] = CAMERAS[name](index);
    const box = { left: MARGIN + Math.round(x), top: MARGIN + Math.round(y), ...SIZE };
    await encoder.write(crop(image, box));
    const flat = keypoints.leftHand.map(() => 0);
    frames.push({
      index,
      timeS: index / FPS,
      size: SIZE,
      pose: transformPose(keypoints, { ...box, scaleX: 1, scaleY: 1 }),
      depths: { left: flat, right: flat },
      numPeople: 1,
      found: { body: true, leftHand: true, rightHand: true },
    });
  }
  await encoder.close();
  await writeKeypoints(posesOf(name), FPS, frames);
}

async function judge(name: string) {
  const meter = new ProgressMeter(() => {});
  const stretch = { startS: 0, endS: Infinity, durationS: NUM_FRAMES / FPS };
  const source = { video: videoOf(name), poses: posesOf(name), stretch, fps: FPS, meter, signal: undefined };
  return judgeSegments(plan, await watchBackground(source));
}

describe("the stillest segment", () => {
  test.each([
    ["pan, rest in 0", 0],
    ["pan, rest in 2", 2],
    ["shake, rest in 2", 2],
    ["shake, rest in 4", 4],
  ] as const)("of %s is found", async (name, expected) => {
    const segments = await judge(name);
    expect(segments.filter(({ isStill }) => isStill).map(({ segment }) => segment)).toEqual([expected]);
    expect(stillest(segments)).toMatchObject({ segment: expected, isStill: true });
    const remark = remarkOnAnchor(stillest(segments));
    expect(remark).toBe(
      expected === 0 ? null : `segment ${expected} is the anchor: its background is the stillest`,
    );
  });

  test("is the first where all are still", async () => {
    const segments = await judge("tripod");
    expect(segments.map(({ isStill }) => isStill)).toEqual([true, true, true]);
    expect(stillest(segments).segment).toBe(0);
  });

  test.each(["pan throughout", "shake throughout"])("of %s is warned of", async (name) => {
    const segments = await judge(name);
    expect(segments.some(({ isStill }) => isStill)).toBe(false);
    expect(remarkOnAnchor(stillest(segments))).toMatch(
      /no segment of the driving video has a still background/,
    );
  });

  test("counts slow drift, zoom and change of light, and not what led up to it", () => {
    const motions = (change: Partial<BackgroundMotion>): BackgroundMotion[] =>
      Array.from({ length: NUM_FRAMES }, () => ({ x: 0, y: 0, zoom: 0, change: 0, ...change }));
    const isStill = (change: Partial<BackgroundMotion>): boolean =>
      judgeSegments(plan, motions(change))[0]!.isStill;
    expect(isStill({})).toBe(true);
    expect(isStill({ x: 0.003 })).toBe(false);
    expect(isStill({ zoom: -0.006 })).toBe(false);
    expect(isStill({ change: 0.02 })).toBe(false);
    const jump = motions({});
    jump[13] = { x: 0.2, y: 0, zoom: 0, change: 0.3 };
    expect(judgeSegments(plan, jump)[1]!.isStill).toBe(true);
  });
});

describe("a run", () => {
  test("takes it for its anchor, and again from the work found; another is taken when asked for", async () => {
    const name = "pan, rest in 2";
    const { model, image } = inputs;
    const workDir = join(folder, "work");
    const anchorOf = async (anchor: "auto" | number, work?: string): Promise<unknown> => {
      let index: unknown;
      const out = join(folder, "out.mp4");
      const files = { model, image, video: videoOf(name), keypoints: posesOf(name), out };
      const settings = { align: "off", steps: 1, guidanceScale: 1, threads: 1, anchor } as const;
      const stop = new AbortController();
      const run = generate(
        { ...files, ...settings, ...(work !== undefined && { workDir: work }) },
        {
          signal: stop.signal,
          onProgress(event) {
            if (event.type !== "plan") return;
            index = event.plan.segments.find(({ kind }) => kind === "anchor")!.index;
            stop.abort(new Error("seen"));
          },
        },
      );
      await expect(run).rejects.toThrow("seen");
      return index;
    };
    expect(await anchorOf("auto", workDir)).toBe(2);
    const { mtimeMs } = await stat(join(workDir, "background.motions"));
    expect(await anchorOf("auto", workDir)).toBe(2);
    expect((await stat(join(workDir, "background.motions"))).mtimeMs).toBe(mtimeMs);
    expect(await anchorOf(4)).toBe(4);
  });

  test("is foretold by prepare", async () => {
    const name = "shake, rest in 4";
    const { model } = inputs;
    const files = { video: videoOf(name), keypoints: posesOf(name), out: join(folder, "prepared") };
    const found = await prepare({ model, ...files });
    expect(found.anchor).toBe(4);
    expect(found.stillness.map(({ segment }) => segment)).toEqual([0, 2, 4]);
    expect(found.remarks.join()).toMatch(/segment 4 is the anchor/);
  });
});
