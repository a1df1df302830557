import { describe, expect, test } from "vitest";
import { bodyIndex } from "../media/pose-keypoints.ts";
import { UserError } from "../tensor/errors.ts";
import { type Clip, renderClip, renderReference } from "./clip.ts";
import { makeIdentity } from "./identity.ts";
import { makeMotion, type Motion } from "./motion.ts";
import { makeScene } from "./scene.ts";

const FULL_BODY = { shot: "full body", span: [-0.07, 1.16] } as const;

function request(seed: number) {
  return {
    identity: makeIdentity(seed),
    scene: { ...makeScene(seed), ...FULL_BODY },
    motion: makeMotion(seed),
    numFrames: 3,
    width: 96,
    height: 128,
    fps: 1,
  };
}

const clips = [1, 2, 3, 4, 5, 6, 7, 8].map((seed) => renderClip(request(seed)));

/** Visits every pixel of a clip as (pixel number over all frames, frame, x, y). */
function forPixels(clip: Clip, visit: (i: number, f: number, x: number, y: number) => void): void {
  for (let i = 0; i < clip.mask.length; i++) {
    const inFrame = i % (clip.width * clip.height);
    visit(
      i,
      Math.floor(i / (clip.width * clip.height)),
      inFrame % clip.width,
      Math.floor(inFrame / clip.width),
    );
  }
}

test("the same request gives the same bytes", () => {
  const [one, two] = [renderClip(request(1)), clips[0]!];
  expect(one.frames).toEqual(two.frames);
  expect(one.handNormals).toEqual(two.handNormals);
  expect(one.mask).toEqual(two.mask);
  expect(one.keypoints).toEqual(two.keypoints);
});

test("a clip may start anywhere in its motion", () => {
  const late = renderClip({ ...request(2), numFrames: 1, startS: 2 });
  expect(late.frames).toEqual(clips[1]!.frames.slice(2 * 96 * 128 * 3));
});

test("the person fills a fair part of the picture", () => {
  for (const clip of clips) {
    const share = clip.mask.reduce((sum, m) => sum + m, 0) / 255 / clip.mask.length;
    expect(share).toBeGreaterThan(0.08);
    expect(share).toBeLessThan(0.5);
  }
});

test("joints inside the picture lie on the person", () => {
  let [numInside, numOn] = [0, 0];
  for (const clip of clips) {
    clip.keypoints.forEach(({ body }, f) => {
      for (const { x, y, score } of body) {
        if (score === 0) continue;
        numInside++;
        if (clip.mask[(f * clip.height + Math.floor(y)) * clip.width + Math.floor(x)]! > 0) numOn++;
      }
    });
  }
  expect(numInside).toBeGreaterThan(8 * 3 * 22);
  expect(numOn / numInside).toBeGreaterThan(0.985);
});

test("off the person and off the floor the picture stands still", () => {
  for (const clip of clips) {
    const empty = new Map<number, number>();
    let numChanged = 0;
    forPixels(clip, (i, _f, x, y) => {
      if (clip.mask[i] !== 0 || y > 0.6 * clip.height) return;
      const packed = clip.frames[3 * i]! * 65536 + clip.frames[3 * i + 1]! * 256 + clip.frames[3 * i + 2]!;
      const place = y * clip.width + x;
      if ((empty.get(place) ?? packed) !== packed) numChanged++;
      empty.set(place, packed);
    });
    expect(numChanged).toBe(0);
    expect(empty.size).toBeGreaterThan(2000);
  }
});

test("clothes, skin and hair differ from the background behind them", () => {
  for (const seed of [1, 2, 3, 4]) {
    const clip = clips[seed - 1]!;
    const moved = renderClip({ ...request(seed), startS: 40 });
    let [numPerson, numClear] = [0, 0];
    forPixels(clip, (i) => {
      if (clip.mask[i] !== 255 || moved.mask[i] !== 0) return;
      numPerson++;
      const distance = Math.hypot(
        ...[0, 1, 2].map((c) => clip.frames[3 * i + c]! - moved.frames[3 * i + c]!),
      );
      if (distance > 25) numClear++;
    });
    expect(numPerson).toBeGreaterThan(50);
    expect(numClear / numPerson).toBeGreaterThan(0.85);
  }
});

describe("hand normals", () => {
  test("are unit vectors on the hands and black elsewhere", () => {
    let [numHand, numOff, numNotUnit, numAway] = [0, 0, 0, 0];
    for (const clip of clips) {
      forPixels(clip, (i) => {
        const [r, g, b] = [0, 1, 2].map((c) => clip.handNormals[3 * i + c]!) as [number, number, number];
        if (r + g + b === 0) return;
        numHand++;
        if (clip.mask[i] === 0) numOff++;
        if (Math.abs(Math.hypot(r / 127.5 - 1, g / 127.5 - 1, b / 127.5 - 1) - 1) > 0.02) numNotUnit++;
        if (b < 126) numAway++;
      });
    }
    expect(numHand).toBeGreaterThan(1000);
    expect({ numOff, numNotUnit, numAway }).toEqual({ numOff: 0, numNotUnit: 0, numAway: 0 });
  });

  test("lie where the landmarks of the hands are", () => {
    let [numSeen, numOn] = [0, 0];
    for (const clip of clips) {
      clip.keypoints.forEach(({ leftHand, rightHand }, f) => {
        for (const { x, y, score } of [leftHand, rightHand].flatMap((hand) => hand.slice(1, 18))) {
          if (score < 0.7) continue;
          numSeen++;
          const i = (f * clip.height + Math.floor(y)) * clip.width + Math.floor(x);
          if (clip.handNormals[3 * i + 2]! > 0) numOn++;
        }
      });
    }
    expect(numSeen).toBeGreaterThan(300);
    expect(numOn / numSeen).toBeGreaterThan(0.8);
  });
});

test("a reference shows the same person, place and camera as the clip", () => {
  const clip = clips[3]!;
  const reference = renderReference(request(4));
  let [numShared, numEqual] = [0, 0];
  for (let i = 0; i < 0.6 * 96 * 128; i++) {
    if (clip.mask[i] !== 0 || reference.mask[i] !== 0) continue;
    numShared++;
    if ([0, 1, 2].every((c) => clip.frames[3 * i + c] === reference.image.data[3 * i + c])) numEqual++;
  }
  expect(numShared).toBeGreaterThan(1000);
  expect(numEqual).toBe(numShared);
  expect(reference.keypoints.body.every(({ score }) => score === 1)).toBe(true);
});

test("a face that looks away is not seen, limbs are", () => {
  const { motion, ...rest } = request(5);
  const away: Motion = { poseAt: (timeS) => ({ ...motion.poseAt(timeS), yaw: Math.PI }) };
  const [pose] = renderClip({ ...rest, motion: away, numFrames: 1 }).keypoints;
  for (const name of ["nose", "leftEye", "rightEye"] as const)
    expect(pose!.body[bodyIndex(name)]!.score).toBe(0);
  for (const name of ["neck", "leftHip", "rightKnee"] as const)
    expect(pose!.body[bodyIndex(name)]!.score).toBe(1);
});

test("points outside the picture have score 0", () => {
  const base = request(6);
  const portrait = { ...base.scene, shot: "close-up" as const, span: [0.64, 1.09] as const };
  const [pose] = renderClip({ ...base, scene: portrait, numFrames: 1 }).keypoints;
  expect(pose!.body[bodyIndex("leftAnkle")]!.score).toBe(0);
  expect(pose!.body[bodyIndex("nose")]!.score).toBe(1);
});

test("the caption names the subject, the clothes and the shot", () => {
  for (const clip of clips) {
    expect(clip.caption).toContain(clip.subject);
    expect(clip.caption).toMatch(/^A (woman|man) with .+ wearing an? .+ is dancing .+, full body shot\.$/);
  }
});

test("an impossible size is the caller's error", () => {
  expect(() => renderClip({ ...request(1), width: 8 })).toThrow(UserError);
  expect(() => renderClip({ ...request(1), numFrames: 0 })).toThrow(UserError);
});
