import { expect, test } from "vitest";
import { createImage } from "../media/pixels.ts";
import { clipPixels, resizeBicubic } from "./image-feature.ts";

test("an image of one colour stays one, in the range of -1 to 1", () => {
  const { shape, data } = resizeBicubic(createImage(7, 3, [255, 0, 51]), 4);
  expect(shape).toEqual([1, 3, 4, 4]);
  const channels = [1, -1, -0.6].flatMap((value) => new Array<number>(16).fill(value));
  channels.forEach((value, i) => expect(data[i]).toBeCloseTo(value, 6));
});

test("an image of the target size is not changed", () => {
  const image = createImage(3, 3);
  image.data.forEach((_, i) => (image.data[i] = 9 * i));
  const { data } = resizeBicubic(image, 3);
  for (let i = 0; i < 27; i++)
    expect(data[(i % 3) * 9 + Math.floor(i / 3)]).toBeCloseTo((18 * i) / 255 - 1, 6);
});

test("halving takes the four nearest pixels with weights -3/32, 19/32, 19/32, -3/32, without smoothing", () => {
  const image = createImage(8, 2);
  // A white column at x = 3, between the centres of target columns 1 (at 2.5) and 2 (at 4.5).
  for (const at of [3, 11]) image.data.fill(255, 3 * at, 3 * at + 3);
  const { data } = resizeBicubic(image, 4);
  const expected = [0, 19 / 32, -3 / 32, 0].map((weight) => weight * 2 - 1);
  expected.forEach((value, x) => expect(data[x]).toBeCloseTo(value, 6));
});

test("normalisation uses CLIP's mean and deviation of each channel", () => {
  const { data } = clipPixels(createImage(2, 2, [255, 255, 255]), 1);
  expect(data[0]).toBeCloseTo((1 - 0.48145466) / 0.26862954, 5);
  expect(data[1]).toBeCloseTo((1 - 0.4578275) / 0.26130258, 5);
  expect(data[2]).toBeCloseTo((1 - 0.40821073) / 0.27577711, 5);
});
