import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { renderFrames } from "../avatar/clip.ts";
import { makeIdentity } from "../avatar/identity.ts";
import { makeMotion } from "../avatar/motion.ts";
import { makeScene } from "../avatar/scene.ts";
import { transformPose } from "../media/pose-keypoints.ts";
import { crop, resize } from "../media/resize.ts";
import { openVideoEncoder } from "../media/video.ts";
import type { BackgroundMotion } from "../perception/background-motion.ts";
import type { PersonFrame } from "../perception/person-frame.ts";
import { judgeSegments, remarkOnAnchor, remarkOnAskedAnchor, stillest } from "./anchor.ts";
import { watchBackground } from "./background.ts";
import { replayPoses } from "./perceive.ts";
import { Driver } from "./driver.ts";
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
  for (const name of Object.keys(FILMS) as (keyof typeof FILMS)[]) await film(name);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** What a camera does: it moves by pixels, comes nearer by pixels at each side, and the lights go down or up. */
interface View {
  readonly left?: number;
  readonly top?: number;
  readonly nearer?: number;
  readonly light?: number;
}

type Camera = (t: number) => View;

const panning: Camera = (t) => ({ left: t - 17 });
const tilting: Camera = (t) => ({ top: 17 - t });
const shaking: Camera = (t) => ({ left: 3 * Math.sin(2.1 * t), top: 3 * Math.cos(1.7 * t) });
const zooming: Camera = (t) => ({ nearer: 0.5 * t });
const flickering: Camera = (t) => ({ light: t % 2 === 0 ? 1 : 0.9 });

/** At rest during one base segment only. */
const restingIn =
  (segment: number, moving: Camera): Camera =>
  (t) => {
    const { start } = plan.segments[segment]!;
    return moving(Math.min(start + 8, Math.max(start, t)) === t ? start : t);
  };

const DANCES = {
  room: { scene: 3, identity: 14, span: [-0.25, 1.35] },
  outside: { scene: 8, identity: 5, span: [0.15, 1.25] },
} as const;

type Film = readonly [dance: keyof typeof DANCES, camera: Camera];

/** Exactly one base segment, the second value, has a still background. */
const ONE_STILL = {
  "pan, rest in 0": ["room", restingIn(0, panning), 0],
  "pan, rest in 2": ["room", restingIn(2, panning), 2],
  "tilt, rest in 4": ["room", restingIn(4, tilting), 4],
  "shake, rest in 2": ["room", restingIn(2, shaking), 2],
  "shake, rest in 4": ["room", restingIn(4, shaking), 4],
  "zoom, rest in 2": ["room", restingIn(2, zooming), 2],
  "flicker, rest in 4": ["room", restingIn(4, flickering), 4],
  "outside, pan, rest in 4": ["outside", restingIn(4, panning), 4],
  "outside, shake, rest in 0": ["outside", restingIn(0, shaking), 0],
  "outside, zoom, rest in 2": ["outside", restingIn(2, zooming), 2],
} as const satisfies Record<string, readonly [...Film, number]>;

const NONE_STILL = {
  "pan throughout": ["room", panning],
  "shake throughout": ["room", shaking],
  "zoom throughout": ["outside", zooming],
  "flicker throughout": ["outside", flickering],
} as const satisfies Record<string, Film>;

const FILMS = { tripod: ["room", () => ({})], ...ONE_STILL, ...NONE_STILL } as const;

const videoOf = (name: string): string => join(folder, `${name}.mp4`);
const posesOf = (name: string): string => join(folder, `${name}.jsonl`);

const dances = new Map<keyof typeof DANCES, ReturnType<typeof renderDance>>();

/** A dancer before a larger part of the scene than cameras see. */
function renderDance({ scene, identity, span }: (typeof DANCES)[keyof typeof DANCES]) {
  const [width, height] = [SIZE.width + 2 * MARGIN, SIZE.height + 2 * MARGIN];
  const place = { ...makeScene(scene), shot: "full body", span } as const;
  const person = { identity: makeIdentity(identity), motion: makeMotion(5) };
  return [...renderFrames({ ...person, scene: place, numFrames: NUM_FRAMES, width, height, fps: FPS })];
}

async function film(name: keyof typeof FILMS): Promise<void> {
  const [place, camera] = FILMS[name];
  const dance = dances.get(place) ?? renderDance(DANCES[place]);
  dances.set(place, dance);
  const encoder = await openVideoEncoder(videoOf(name), { ...SIZE, fps: FPS });
  const frames: PersonFrame[] = [];
  for (const [index, { image, keypoints }] of dance.entries()) {
    const { left = 0, top = 0, nearer = 0, light = 1 }: View = camera(index);
    const box = {
      left: MARGIN + Math.round(left + nearer),
      top: MARGIN + Math.round(top + 1.5 * nearer),
      width: SIZE.width - 2 * Math.round(nearer),
      height: SIZE.height - 2 * Math.round(1.5 * nearer),
    };
    const seen = resize(crop(image, box), SIZE.width, SIZE.height);
    await encoder.write({ ...seen, data: seen.data.map((value) => value * light) });
    const flat = keypoints.leftHand.map(() => 0);
    const scale = { scaleX: SIZE.width / box.width, scaleY: SIZE.height / box.height };
    frames.push({
      index,
      timeS: index / FPS,
      size: SIZE,
      pose: transformPose(keypoints, { ...box, ...scale }),
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
  const driver = await Driver.open(posesOf(name), FPS);
  const source = { video: videoOf(name), stretch, fps: FPS, signal: undefined };
  const motions: BackgroundMotion[] = [];
  for await (const { motion } of watchBackground(source, replayPoses(driver, meter))) motions.push(motion);
  return judgeSegments(plan, motions);
}

describe("the stillest segment", () => {
  const oneStill = Object.entries(ONE_STILL).map(([name, [, , segment]]) => [name, segment] as const);

  test.each(oneStill)("of %s is found", async (name, expected) => {
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
    // Far from the threshold, as longer segments need: the dancer moves, and so does their shadow.
    expect(Math.max(...segments.map(({ cameraMotion }) => cameraMotion))).toBeLessThan(0.003);
    expect(stillest(segments).segment).toBe(0);
  });

  test.each(Object.keys(NONE_STILL))("of %s is warned of", async (name) => {
    const segments = await judge(name);
    expect(segments.some(({ isStill }) => isStill)).toBe(false);
    expect(remarkOnAnchor(stillest(segments))).toMatch(
      name.startsWith("flicker")
        ? /no segment of the driving video has a still background.*brightness changes by \d+\.\d % from frame/
        : /no segment of the driving video has a still background.*camera moves by \d+\.\d % of the picture/,
    );
  });

  test("is named to those who chose another one", async () => {
    const segments = await judge("zoom, rest in 2");
    expect(remarkOnAskedAnchor(2, segments)).toBeNull();
    expect(remarkOnAskedAnchor(4, segments)).toMatch(
      /segment 4 is the anchor as asked.*camera moves by \d+\.\d % of the picture\); that of segment 2 is$/,
    );
    expect(remarkOnAskedAnchor(0, await judge("zoom throughout"))).toMatch(/nor is any other.*kvShare off$/);
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
    const notices: string[] = [];
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
            if (event.type === "notice") notices.push(event.message);
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
    notices.length = 0;
    expect(await anchorOf(4)).toBe(4);
    expect(notices.join()).toMatch(/segment 4 is the anchor as asked, but its background is not still/);
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
