import { describe, expect, it } from "vitest";
import { type Image, imageFromBytes } from "../media/pixels.ts";
import {
  ImagePyramid,
  type Region,
  fromRegion,
  sampleRegion,
  toRegion,
  uprightRotation,
  wholeImage,
} from "./region.ts";

/** Red grows with x, green with y, by one per pixel; blue is constant. */
function ramps(width: number, height: number): Image {
  const data = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) data.set([x, y, 200], (y * width + x) * 3);
  return imageFromBytes(width, height, data);
}

describe("regions", () => {
  const region: Region = { center: { x: 40, y: 70 }, size: 30, rotation: 0.7 };

  it("map points there and back", () => {
    const point = fromRegion(region, 0.2, 0.9);
    const { u, v } = toRegion(region, point);
    expect(u).toBeCloseTo(0.2, 12);
    expect(v).toBeCloseTo(0.9, 12);
    expect(fromRegion(region, 0.5, 0.5)).toEqual(region.center);
  });

  it("turn so that a direction points up", () => {
    const to = { x: 55, y: 60 };
    const rotation = uprightRotation(region.center, to);
    const { u, v } = toRegion({ ...region, rotation }, to);
    expect(u).toBeCloseTo(0.5, 12);
    expect(v).toBeLessThan(0.5);
  });
});

describe("sampleRegion", () => {
  const pyramid = new ImagePyramid(ramps(100, 120));

  it("interpolates at the centres of its pixels, turned", () => {
    const region: Region = { center: { x: 50, y: 60 }, size: 32, rotation: 0.5 };
    const pixels = sampleRegion(pyramid, region, 16, [0, 255]);
    for (const [row, column] of [
      [0, 0],
      [3, 12],
      [15, 7],
    ] as const) {
      const { x, y } = fromRegion(region, (column + 0.5) / 16, (row + 0.5) / 16);
      const at = row * 16 + column;
      // A pixel's value belongs to its centre.
      expect(pixels[at]).toBeCloseTo(x - 0.5, 4);
      expect(pixels[256 + at]).toBeCloseTo(y - 0.5, 4);
      expect(pixels[512 + at]).toBeCloseTo(200, 4);
    }
  });

  it("averages instead of skipping pixels when it shrinks", () => {
    const stripes = ramps(64, 64);
    for (let i = 0; i < stripes.data.length; i++) stripes.data[i] = Math.floor(i / 3) % 2 === 0 ? 0 : 255;
    const pixels = sampleRegion(new ImagePyramid(stripes), wholeImage(stripes), 16, [0, 1]);
    for (const value of pixels) expect(value).toBeCloseTo(128 / 255, 6);
  });

  it("is black outside the picture, at the low end of the range", () => {
    const pixels = sampleRegion(pyramid, wholeImage(pyramid.image), 24, [-1, 1]);
    // A tall picture leaves columns free on both sides.
    expect(pixels[0]).toBe(-1);
    expect(pixels[23]).toBe(-1);
    expect(pixels[2 * 24 * 24 + 12]).toBeCloseTo(-1 + (2 * 200) / 255, 5);
  });

  it("takes pictures of a single pixel", () => {
    const dot = new ImagePyramid(imageFromBytes(1, 1, Uint8Array.of(255, 255, 255)));
    const pixels = sampleRegion(dot, { center: { x: 0.5, y: 0.5 }, size: 64, rotation: 0 }, 4, [0, 1]);
    expect(pixels.every((value) => value >= 0 && value <= 1)).toBe(true);
  });
});
