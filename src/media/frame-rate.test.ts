import { expect, it } from "vitest";
import { frameRateFraction } from "./frame-rate.ts";

it.each([
  [16, 16, 1],
  [30, 30, 1],
  [30000 / 1001, 30000, 1001],
  [23.976, 24000, 1001],
  [59.94, 60000, 1001],
  [12.5, 12500, 1000],
  [0.5, 500, 1000],
])("%d frames per second are %i/%i", (fps, num, den) => {
  expect(frameRateFraction(fps)).toEqual({ num, den });
});
