import { describe, expect, it } from "vitest";
import { createImage, imageFromBytes, type Image } from "./pixels.ts";
import { centerCropBox, centerCropResize, crop, resize } from "./resize.ts";

/** One grey row as a picture. */
const row = (values: number[]): Image =>
  imageFromBytes(values.length, 1, Uint8Array.from(values.flatMap((v) => [v, v, v])));
const greys = ({ data }: Image) => [...data].filter((_, i) => i % 3 === 0);

describe("resize", () => {
  it("is plain bilinear when growing, with half-pixel centres", () => {
    expect(greys(resize(row([0, 100]), 4, 1))).toEqual([0, 25, 75, 100]);
  });

  it("is a triangle filter over the shrink factor when shrinking", () => {
    // Factor 2: weights 1/8 3/8 3/8 1/8, and 1/7 3/7 3/7 where the border cuts one off.
    expect(greys(resize(row([0, 0, 80, 160, 80, 0]), 3, 1))).toEqual([11, 100, 57]);
  });

  it("treats rows and columns alike", () => {
    const noise = Uint8Array.from({ length: 24 * 24 * 3 }, (_, i) => (i * 7919) % 251);
    const turned = new Uint8Array(noise.length);
    for (let i = 0; i < 24 * 24; i++) {
      turned.set(noise.subarray(i * 3, i * 3 + 3), ((i % 24) * 24 + Math.floor(i / 24)) * 3);
    }
    const wide = resize(imageFromBytes(24, 24, noise), 7, 24);
    const tall = resize(imageFromBytes(24, 24, turned), 24, 7);
    for (let y = 0; y < 24; y++) {
      for (let x = 0; x < 7; x++) expect(wide.data[(y * 7 + x) * 3]).toBe(tall.data[(x * 24 + y) * 3]);
    }
  });

  it("keeps flat colours exactly, at any size", () => {
    for (const [width, height] of [
      [1, 1],
      [7, 300],
      [333, 5],
    ] as const) {
      expect(resize(createImage(50, 37, [255, 1, 130]), width, height)).toEqual(
        createImage(width, height, [255, 1, 130]),
      );
    }
  });

  it("copies when the size stays", () => {
    const image = createImage(3, 2, [1, 2, 3]);
    const same = resize(image, 3, 2);
    expect(same).toEqual(image);
    expect(same.data).not.toBe(image.data);
  });

  it("refuses empty targets", () => {
    expect(() => resize(createImage(3, 2), 0, 2)).toThrow("at least 1 pixel");
  });
});

describe("centre crop", () => {
  it.each([
    [720, 1280, { left: 0, top: 0, width: 720, height: 1280 }],
    [1920, 1080, { left: 656, top: 0, width: 608, height: 1080 }],
    [1000, 3000, { left: 0, top: 611, width: 1000, height: 1778 }],
    [1, 500, { left: 0, top: 249, width: 1, height: 2 }],
  ])("%i x %i to 9:16", (width, height, box) => {
    expect(centerCropBox(width, height, 720, 1280)).toEqual(box);
  });

  it("crops, then resizes", () => {
    const image = createImage(40, 10, [10, 10, 10]);
    for (let y = 0; y < 10; y++)
      for (let x = 15; x < 25; x++) image.data.fill(200, (y * 40 + x) * 3, (y * 40 + x) * 3 + 3);
    expect(centerCropResize(image, 5, 5)).toEqual(createImage(5, 5, [200, 200, 200]));
    expect(() => crop(image, { left: 35, top: 0, width: 10, height: 10 })).toThrow(
      "cannot cut 10x10 at (35, 0)",
    );
  });
});
