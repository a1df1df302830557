import { expect, it } from "vitest";
import { createImage } from "../media/pixels.ts";
import { BODY_LANDMARKS } from "./body-landmarks.ts";
import type { Eyes } from "./eyes.ts";
import { surveyFrames } from "./survey.ts";

/** Frames of half the size that they stand for, ten a second. */
const FRAMES = Array.from({ length: 24 }, (_, i) => ({
  image: createImage(96, 64, [90, 120, 150]),
  size: { width: 192, height: 128 },
  timeS: i / 10,
}));

/** Sees `numPeople(search)` people beside each other, and notes how many were enough in each search. */
function eyesFor(numPeople: (search: number) => number) {
  const asked: number[] = [];
  const eyes: Eyes = {
    detect: async (_frame, enough) => {
      asked.push(enough);
      const at = (i: number) => ({ center: { x: 10 + 40 * i, y: 30 }, size: 30, rotation: 0 });
      return Array.from({ length: numPeople(asked.length - 1) }, (_none, i) => ({ score: 1, region: at(i) }));
    },
    look: async (_frame, region) => {
      const point = { ...region.center, z: 0, visibility: 1, presence: 1, world: { x: 0, y: 0, z: 0 } };
      const landmarks = BODY_LANDMARKS.map((_name, i) => ({ ...point, y: point.y + (i % 5) }));
      const pose = { landmarks, score: 1, region, mask: null, keypoints: null };
      return { pose, nextRegion: region, place: region };
    },
    release: async () => {},
  };
  return { eyes, asked };
}

it("searches for everybody once a second, and else for as many as were seen before", async () => {
  const { eyes, asked } = eyesFor((search) => [2, 2, 1, 0][search] ?? 0);
  const { samples } = await surveyFrames(FRAMES, eyes);
  expect(samples.map(({ frame }) => frame)).toEqual([0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22]);
  // Nobody is never enough.
  expect(asked).toEqual([Infinity, 2, 2, 1, 1, Infinity, 1, 1, 1, 1, Infinity, 1]);
});

it("tells of people in pixels of the whole frame, whatever the size of the picture", async () => {
  const { samples, size } = await surveyFrames(FRAMES.slice(0, 1), eyesFor(() => 2).eyes);
  expect(size).toEqual({ width: 192, height: 128 });
  expect(samples[0]!.people).toMatchObject([
    { center: { x: 20, y: 60 }, size: 60, box: { left: 20, top: 60, right: 20, bottom: 68 } },
    { center: { x: 100, y: 60 }, size: 60, box: { left: 100, right: 100 } },
  ]);
});
