import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { contactSheet, overlaySkeleton, writeContactSheet } from "./contact-sheet.ts";
import { readImage } from "./image.ts";
import { createImage, type Image } from "./pixels.ts";
import { UNSEEN, UNSEEN_HAND } from "./pose-keypoints.ts";

const pixel = (image: Image, x: number, y: number) => [
  ...image.data.subarray((y * image.width + x) * 3).subarray(0, 3),
];

it("lays pictures out in labelled rows", () => {
  const red = { image: createImage(40, 60, [200, 0, 0]), label: "reference" };
  const green = { image: createImage(80, 120, [0, 200, 0]), label: "a <b> & c" };
  const blue = { image: createImage(20, 60, [0, 0, 200]), label: "" };
  const sheet = contactSheet([red, green, blue], { numColumns: 2 });
  expect([sheet.width, sheet.height]).toEqual([2 * 48 + 8, 2 * 84 + 8]);
  expect(pixel(sheet, 28, 30)).toEqual([200, 0, 0]);
  // Scaled to the first picture's height.
  expect(pixel(sheet, 76, 60)).toEqual([0, 200, 0]);
  expect(pixel(sheet, 28, 120)).toEqual([0, 0, 200]);
  // Narrow pictures stand in the middle of their cell.
  expect(pixel(sheet, 10, 120)).toEqual([24, 24, 27]);
  // The labels, between the first row of pictures and the second.
  const lit = Array.from({ length: 104 * 16 }, (_, i) => pixel(sheet, i % 104, 68 + Math.floor(i / 104))[0]!);
  expect(lit.filter((v) => v === 228).length).toBeGreaterThan(80);
});

it("writes a PNG, and needs a picture", async () => {
  const folder = await mkdtemp(join(tmpdir(), "posegen-sheet-"));
  const cells = Array.from({ length: 5 }, (_, n) => ({
    image: createImage(32, 32, [n * 40, 9, 9]),
    label: `${n}`,
  }));
  await writeContactSheet(join(folder, "sheet.png"), cells, { cellHeight: 16 });
  const { width, height } = await readImage(join(folder, "sheet.png"));
  expect([width, height]).toEqual([3 * 24 + 8, 2 * 40 + 8]);
  await rm(folder, { recursive: true });
  expect(() => contactSheet([])).toThrow("at least one picture");
});

it("draws a skeleton over a copy", () => {
  const frame = createImage(64, 64, [50, 60, 70]);
  const body = Array.from({ length: 24 }, () => UNSEEN)
    .with(6, { x: 10, y: 32.5, score: 1 })
    .with(7, { x: 54, y: 32.5, score: 1 });
  const overlay = overlaySkeleton(
    frame,
    { body, leftHand: UNSEEN_HAND, rightHand: UNSEEN_HAND },
    { style: "scaled" },
  );
  expect(pixel(overlay, 32, 32)).toEqual([85, 255, 0]);
  expect(pixel(overlay, 32, 10)).toEqual([50, 60, 70]);
  expect(pixel(frame, 32, 32)).toEqual([50, 60, 70]);
});
