import { expect, test } from "vitest";
import { createImage, type Image, type Rgb } from "../media/pixels.ts";
import { composeSheet } from "./demo-sheet.ts";

function pixel({ data, width }: Image, x: number, y: number): number[] {
  return [...data.subarray((y * width + x) * 3, (y * width + x) * 3 + 3)];
}

test("the sheet has the reference on the left and a column per moment", () => {
  const [red, green, blue, grey] = [
    [255, 0, 0],
    [0, 255, 0],
    [0, 0, 255],
    [128, 128, 128],
  ] satisfies Rgb[];
  const plain = (color: Rgb) => createImage(32, 64, color);
  const moment = { skeleton: plain(red!), handNormals: plain(green!), result: plain(blue!) };
  const sheet = composeSheet(createImage(100, 100, grey), [moment, moment]);
  // Cells of 128x256, three rows of them with gaps of 6, and a reference as high as all three.
  expect([sheet.width, sheet.height]).toEqual([390 + 2 * (6 + 128), 780]);
  expect(pixel(sheet, 10, 10)).toEqual(grey);
  expect(pixel(sheet, 393, 10)).toEqual([255, 255, 255]);
  for (const x of [400, 534, sheet.width - 1]) {
    expect([pixel(sheet, x, 0), pixel(sheet, x, 262), pixel(sheet, x, 779)]).toEqual([red, green, blue]);
  }
});
