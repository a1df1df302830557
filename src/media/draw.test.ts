import { describe, expect, it } from "vitest";
import { blit, fillCircle, strokeLine } from "./draw.ts";
import { createImage, type Image, type Rgb } from "./pixels.ts";

const WHITE: Rgb = [255, 255, 255];
/** Painted area in pixels, partial pixels by their share. */
const area = ({ data }: Image) => data.reduce((sum, v) => sum + v, 0) / (3 * 255);
const red = (image: Image, x: number, y: number) => image.data[(y * image.width + x) * 3]!;

function drawn(draw: (image: Image) => void): Image {
  const image = createImage(100, 80);
  draw(image);
  return image;
}

describe("areas match geometry within 1 %", () => {
  it.each([
    ["circle", Math.PI * 20 ** 2, (i: Image) => fillCircle(i, { x: 40.2, y: 39.7 }, 20, WHITE)],
    [
      "line",
      60 * 8 + Math.PI * 4 ** 2,
      (i: Image) => strokeLine(i, { x: 20, y: 30.5 }, { x: 80, y: 30.5 }, 4, WHITE),
    ],
  ])("%s", (_, expected, draw) => {
    const relative = area(drawn(draw)) / expected;
    expect(relative).toBeGreaterThan(0.99);
    expect(relative).toBeLessThan(1.01);
  });
});

describe("coverage", () => {
  const [from, to] = [
    { x: 21.3, y: 70.8 },
    { x: 78.1, y: 12.4 },
  ];
  const wayToLine = (x: number, y: number): number => {
    const [dx, dy] = [to.x - from.x, to.y - from.y];
    const t = ((x - from.x) * dx + (y - from.y) * dy) / (dx * dx + dy * dy);
    const along = Math.min(1, Math.max(0, t));
    return Math.hypot(x - from.x - along * dx, y - from.y - along * dy);
  };
  it.each([
    [
      "line",
      (i: Image) => strokeLine(i, from, to, 2.6, WHITE),
      (x: number, y: number) => wayToLine(x, y) - 2.6,
    ],
    [
      "disc",
      (i: Image) => fillCircle(i, to, 9.4, WHITE),
      (x: number, y: number) => Math.hypot(x - to.x, y - to.y) - 9.4,
    ],
  ])("of every pixel of a %s is half a pixel less the way to it", (_, draw, way) => {
    const expected = drawn(() => {});
    for (let y = 0; y < expected.height; y++) {
      for (let x = 0; x < expected.width; x++) {
        const covered = Math.round(255 * Math.min(1, Math.max(0, 0.5 - way(x + 0.5, y + 0.5))));
        expected.data.fill(covered, (y * expected.width + x) * 3, (y * expected.width + x + 1) * 3);
      }
    }
    expect(drawn(draw).data).toEqual(expected.data);
  });
});

describe("edges", () => {
  it("half covers a pixel whose centre lies on the edge", () => {
    const image = drawn((i) => strokeLine(i, { x: 10, y: 20.5 }, { x: 60, y: 20.5 }, 3, WHITE));
    expect([red(image, 30, 22), red(image, 30, 23), red(image, 30, 24)]).toEqual([255, 128, 0]);
  });

  it("draws a point as a disc", () => {
    const dot = drawn((i) => strokeLine(i, { x: 30, y: 30 }, { x: 30, y: 30 }, 5, WHITE));
    expect(dot.data).toEqual(drawn((i) => fillCircle(i, { x: 30, y: 30 }, 5, WHITE)).data);
  });

  it("clips at the border", () => {
    expect(area(drawn((i) => fillCircle(i, { x: 0, y: 0 }, 20, WHITE)))).toBeCloseTo((Math.PI * 400) / 4, -1);
    expect(area(drawn((i) => fillCircle(i, { x: 500, y: 500 }, 20, WHITE)))).toBe(0);
  });
});

describe("blit", () => {
  it("copies, and cuts what falls outside", () => {
    const target = createImage(6, 5);
    blit(target, createImage(4, 4, WHITE), 4, -2);
    expect(area(target)).toBe(4);
    expect([red(target, 3, 0), red(target, 4, 0), red(target, 5, 1), red(target, 5, 2)]).toEqual([
      0, 255, 255, 0,
    ]);
    blit(target, createImage(2, 2, WHITE), -9, 0);
    expect(area(target)).toBe(4);
  });
});
