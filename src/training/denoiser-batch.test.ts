import { expect, test } from "vitest";
import { keepMask } from "../diffusion/conditions.ts";
import { Random } from "../tensor/random.ts";
import {
  type AbsentConditions,
  type BatchClip,
  type DenoiserSampling,
  denoiserBatch,
} from "./denoiser-batch.ts";
import { noiseLevels } from "./noise-level.ts";

const SIZE = { channels: 2, height: 2, width: 3, imageSize: 1 };
const PLANE = SIZE.height * SIZE.width;
const FRAMES = 3;

const SAMPLING: DenoiserSampling = {
  shift: 5,
  timestepWeighting: "published",
  dropReference: 0,
  dropPose: 0,
  dropHands: 0,
  dropText: 0,
  personWeight: 0,
  faceWeight: 0,
  headFrames: 0,
  tailFrames: 0,
};

const constant = (value: number, length: number): Float32Array => new Float32Array(length).fill(value);

const ABSENT: AbsentConditions = {
  blackFirst: constant(-1, 2 * PLANE),
  blackNext: constant(-2, 2 * PLANE),
  emptyPrompt: Int32Array.of(1, 0),
};

/** Every condition has a value of its own, so that what is left out shows. */
const CLIP: BatchClip = {
  video: new Random("video").normals(2 * FRAMES * PLANE),
  pose: constant(3, 2 * FRAMES * PLANE),
  hand: constant(4, 2 * FRAMES * PLANE),
  reference: constant(5, 2 * PLANE),
  person: Uint8Array.from({ length: FRAMES * PLANE }, (_, i) => (i % 2 === 0 ? 255 : 0)),
  tokens: Int32Array.of(7, 1),
  image: constant(6, 3),
  face: Uint8Array.from({ length: FRAMES * PLANE }, (_, i) => (i === 0 ? 1 : 0)),
};

function batchOf(numClips: number, changes: Partial<DenoiserSampling>, latentFrames = FRAMES) {
  const clips = Array.from({ length: numClips }, () => CLIP);
  const random = new Random("batch");
  return denoiserBatch(clips, latentFrames, SIZE, ABSENT, { ...SAMPLING, ...changes }, random);
}

/** The part of a tensor that belongs to a clip. */
function ofClip(batch: ReturnType<typeof batchOf>, name: string, clip: number): number[] {
  const { shape, data } = batch[name]!;
  const size = data.length / shape[0]!;
  return [...data.subarray(clip * size, (clip + 1) * size)].map(Number);
}

/** Latents of the skeleton, behind the mask's four channels. */
const poseOf = (batch: ReturnType<typeof batchOf>, clip: number): number[] =>
  ofClip(batch, "cond", clip).slice(4 * FRAMES * PLANE);

test("conditions are left out as often as they should be, each by itself", () => {
  const numClips = 4000;
  const drops = { dropHands: 0.1, dropText: 0.1, dropReference: 0.2, dropPose: 0.05 };
  const batch = batchOf(numClips, drops);
  const clips = Array.from({ length: numClips }, (_, clip) => ({
    hands: ofClip(batch, "hand", clip)[0] === -1,
    text: ofClip(batch, "tokens", clip)[0] === 1,
    reference: ofClip(batch, "ref", clip)[0] === -1,
    pose: poseOf(batch, clip)[0] === -1,
  }));
  const share = (holds: (clip: (typeof clips)[number]) => boolean): number =>
    clips.filter(holds).length / numClips;
  // Four deviations of a share of 0.1 in 4,000 clips are 0.019.
  expect(Math.abs(share(({ text }) => text) - 0.1)).toBeLessThan(0.019);
  expect(Math.abs(share(({ reference }) => reference) - 0.2)).toBeLessThan(0.026);
  expect(Math.abs(share(({ pose }) => pose) - 0.05)).toBeLessThan(0.014);
  expect(Math.abs(share(({ hands, pose }) => hands && !pose) - 0.095)).toBeLessThan(0.019);
  expect(Math.abs(share(({ hands, text }) => hands && text) - 0.0145)).toBeLessThan(0.008);
  // Without a skeleton there are no hands either.
  expect(clips.every(({ hands, pose }) => hands || !pose)).toBe(true);
});

test("the mask keeps head and tail, and pasted pictures stay in the skeleton's channels", () => {
  const kept = { headFrames: 5, tailFrames: 4 };
  const batch = batchOf(3, { ...kept, dropHands: 1 });
  const numFrames = 1 + 4 * (FRAMES - 1);
  const mask = [...keepMask(numFrames, 5, 4, SIZE.height, SIZE.width).data];
  for (const clip of [0, 1, 2]) {
    expect(ofClip(batch, "cond", clip).slice(0, mask.length)).toEqual(mask);
    expect(poseOf(batch, clip)).toEqual([...CLIP.pose]);
    // A black video's first latent frame is another one than those that follow.
    const black = [0, 1].flatMap(() => [-1, -2, -2].flatMap((value) => new Array<number>(PLANE).fill(value)));
    expect(ofClip(batch, "hand", clip)).toEqual(black);
  }
  const nothingKept = ofClip(batchOf(1, {}), "cond", 0).slice(0, mask.length);
  expect(nothingKept.every((value) => value === 0)).toBe(true);
});

test("latents and target are those of flow matching, at the levels that are drawn", () => {
  const batch = batchOf(200, {});
  const steps = new Set<number>();
  for (let clip = 0; clip < 200; clip++) {
    const sigma = batch["timestep"]!.data[clip]! as number;
    steps.add(sigma);
    // x + sigma (noise - x), and noise - x
    const [latents, target] = [ofClip(batch, "latents", clip), ofClip(batch, "target", clip)];
    latents.forEach((value, i) => {
      expect(Math.abs(value - (sigma / 1000) * target[i]! - CLIP.video[i]!)).toBeLessThan(1e-5);
    });
  }
  expect(steps.size).toBeGreaterThan(150);
});

test("a shorter clip is the beginning of a long one", () => {
  const short = batchOf(1, {}, 2);
  expect(short["hand"]!.shape).toEqual([1, 2, 2, 2, 3]);
  const [latents, target] = [ofClip(short, "latents", 0), ofClip(short, "target", 0)];
  const sigma = (short["timestep"]!.data[0] as number) / 1000;
  const length = 2 * PLANE;
  for (const channel of [0, 1]) {
    for (let i = 0; i < length; i++) {
      const at = channel * length + i;
      const own = CLIP.video[channel * FRAMES * PLANE + i]!;
      expect(Math.abs(latents[at]! - sigma * target[at]! - own)).toBeLessThan(1e-5);
    }
  }
});

test("errors of person and face weigh more, and a clip's weights have its level's as mean", () => {
  const weighed = batchOf(1, { personWeight: 2, faceWeight: 15 });
  const weights = ofClip(weighed, "weight", 0);
  expect(weights[2]! / weights[1]!).toBeCloseTo(3, 5);
  expect(weights[0]! / weights[1]!).toBeCloseTo(18, 5);
  const levels = Array.from({ length: 1000 }, (_, i) => noiseLevels(5, "published")((i + 0.5) / 1000));
  const level = levels.find(
    ({ sigma }) => Math.abs(1000 * sigma - Number(weighed["timestep"]!.data[0])) < 1e-3,
  )!;
  expect(weights.reduce((sum, x) => sum + x, 0) / weights.length / level.weight).toBeCloseTo(1, 5);
});
