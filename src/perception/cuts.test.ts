import { describe, expect, it } from "vitest";
import { createImage } from "../media/pixels.ts";
import { CutFinder } from "./cuts.ts";
import { ImagePyramid } from "./region.ts";

type Colour = readonly [number, number, number];

/** A light box at `x` before a background. */
function frame(background: Colour, x: number): ImagePyramid {
  const image = createImage(160, 96, background);
  for (let row = 20; row < 80; row++) {
    for (let column = 0; column < 40; column++)
      image.data.fill(230, 3 * (row * 160 + x + column), 3 * (row * 160 + x + column) + 3);
  }
  return new ImagePyramid(image);
}

function cutsOf(frames: readonly ImagePyramid[]): number[] {
  const finder = new CutFinder();
  for (const each of frames) finder.add(each);
  return finder.cuts();
}

const GREEN: Colour = [60, 110, 70];
const BROWN: Colour = [110, 80, 60];

describe("CutFinder", () => {
  it("finds the frames that begin a shot, but not a moving person", () => {
    const frames = [0, 10, 20, 30].map((x) => frame(GREEN, x));
    expect(cutsOf(frames)).toEqual([]);
    const others = [50, 55, 60, 65].map((x) => frame(BROWN, x));
    expect(cutsOf([...frames, ...others])).toEqual([4]);
    expect(cutsOf([...frames, ...others, ...frames])).toEqual([4, 8]);
  });

  it("takes neither a flash nor steady fast change for a cut", () => {
    const still = Array.from({ length: 5 }, () => frame(GREEN, 10));
    expect(cutsOf([...still, frame([250, 250, 250], 10), ...still])).toEqual([]);
    const fade = Array.from({ length: 10 }, (_, i) => frame([20 * i, 20 * i, 20 * i], 10));
    expect(cutsOf(fade)).toEqual([]);
  });

  it("needs no frames around", () => {
    expect(cutsOf([])).toEqual([]);
    expect(cutsOf([frame(GREEN, 0)])).toEqual([]);
    expect(cutsOf([frame(GREEN, 0), frame(BROWN, 60)])).toEqual([1]);
  });
});
