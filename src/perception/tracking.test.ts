import { describe, expect, it } from "vitest";
import { bodyIndex } from "../media/pose-keypoints.ts";
import { type AnalysisOptions, type Cast, analyzeFrames } from "./analyze-video.ts";
import type { PersonFrame } from "./person-frame.ts";
import { EMPTY_SUMMARY, addToSummary } from "./person-frame.ts";
import { type PeopleClip, cutTogether, dancer, renderPeople, whoIsFollowed } from "./testing.ts";

async function follow(clip: PeopleClip, options: AnalysisOptions = {}) {
  const frames: PersonFrame[] = [];
  let cast: Cast | undefined;
  const all = { quality: "lite", onPeople: (found: Cast) => (cast = found), ...options } as const;
  for await (const frame of analyzeFrames(() => clip.source, all)) frames.push(frame);
  return { frames, cast: cast!, who: whoIsFollowed(frames, clip) };
}

const count = (values: readonly number[], value: number): number => values.filter((v) => v === value).length;

describe("two people who cross", () => {
  // Person 1 passes in front and is larger; person 0 is hidden for a few frames.
  const clip = renderPeople(
    1,
    [dancer(3, (t) => ({ x: -1.1 + 1.1 * t, z: 0 })), dancer(4, (t) => ({ x: 1.1 - 1.1 * t, z: 0.5 }))],
    32,
  );

  it("follows the larger one in every frame, and tells of both", async () => {
    const { who, cast, frames } = await follow(clip);
    expect(count(who, 1)).toBe(32);
    expect(cast.followed).toBe(1);
    expect(cast.people.map(({ at }) => at.x > 224)).toEqual([true, false]);
    expect(frames.reduce(addToSummary, EMPTY_SUMMARY).maxPeople).toBe(2);
  });

  it("follows the other one when told where they are, never the one who hides them", async () => {
    const { who, frames } = await follow(clip, { person: { x: 70, y: 150 } });
    expect(count(who, 1)).toBe(0);
    expect(count(who, 0)).toBeGreaterThanOrEqual(24);
    // The one who passes is where the frames say that somebody else is.
    const isInBox = frames.map(({ others = [] }, f) => {
      const hips = clip.truth[1]![f]!.body[bodyIndex("leftHip")]!;
      return others.some(({ left, top, right, bottom }) => {
        return hips.x > left && hips.x < right && hips.y > top && hips.y < bottom;
      });
    });
    expect(isInBox.filter(Boolean).length).toBeGreaterThanOrEqual(30);
    // Hidden frames are bridged: there is a pose in all.
    expect(frames.every(({ pose }) => pose.body.some(({ score }) => score > 0))).toBe(true);
  });

  it("refuses a person who is not there, naming those who are", async () => {
    await expect(follow(clip, { person: 3 })).rejects.toThrow(/no person 3 in .*; found: 1 at \d+,\d+; 2 at/);
  });
});

it("waits for a person who leaves and comes back, though somebody else is there", async () => {
  const away = (t: number): number => Math.sin(Math.PI * Math.max(0, Math.min(1, (t - 0.3) / 2.4)));
  const clip = renderPeople(
    2,
    [dancer(3, (t) => ({ x: -0.5 - 2.4 * away(t), z: 0 })), dancer(4, () => ({ x: 0.9, z: -0.5 }))],
    48,
  );
  const { who, frames } = await follow(clip, { person: { x: 160, y: 150 } });
  expect(count(who, 1)).toBe(0);
  expect(who.slice(0, 10)).toEqual(Array.from({ length: 10 }, () => 0));
  expect(who.slice(40)).toEqual(Array.from({ length: 8 }, () => 0));
  expect(count(who.slice(16, 32), -1)).toBe(16);
  // Nobody is drawn in the middle of the picture meanwhile: what is held stands at the edge.
  const held = frames[24]!.pose.body.filter(({ score }) => score > 0);
  expect(held.every(({ x }) => x < 150)).toBe(true);
  const { absences } = frames.reduce(addToSummary, EMPTY_SUMMARY);
  expect(absences).toHaveLength(1);
  expect(absences[0]!.fromS).toBeGreaterThan(0.5);
  expect(absences[0]!.toS).toBeLessThan(2.6);
});

it("finds the same person again behind a cut, where they stand elsewhere", async () => {
  const clip = cutTogether(
    renderPeople(3, [dancer(3, () => ({ x: -0.6, z: 0.2 })), dancer(4, () => ({ x: 0.7, z: 0 }))], 12),
    renderPeople(5, [dancer(3, () => ({ x: 0.5, z: -0.4 })), dancer(4, () => ({ x: -0.7, z: 0 }))], 12),
  );
  for (const [person, index] of [
    [{ x: 140, y: 150 }, 0],
    [{ x: 315, y: 150 }, 1],
  ] as const) {
    const { who, frames } = await follow(clip, { person });
    expect(count(who, index)).toBe(24);
    expect(frames.flatMap(({ cut, index: at }) => (cut ? [at] : []))).toEqual([12]);
    expect(frames.reduce(addToSummary, EMPTY_SUMMARY).cutsS).toEqual([0.75]);
  }
});
