import { expect, it } from "vitest";
import { drawText, textSize } from "./label.ts";
import { createImage, type Image, type Rgb } from "./pixels.ts";

const WHITE: Rgb = [255, 255, 255];

function rows({ width, height, data }: Image): string[] {
  const lit = (x: number, y: number) => (data[(y * width + x) * 3] ? "#" : ".");
  return Array.from({ length: height }, (_, y) =>
    Array.from({ length: width }, (__, x) => lit(x, y)).join(""),
  );
}

function drawn(text: string, scale = 1): string[] {
  const { width, height } = textSize(text, scale);
  const image = createImage(width, height);
  drawText(image, text, 0, 0, WHITE, scale);
  return rows(image);
}

it("writes capitals and digits", () => {
  expect(drawn("a7%")).toEqual([
    ".###..#####.##...",
    "#...#.....#.##..#",
    "#...#....#.....#.",
    "#####...#.....#..",
    "#...#..#.....#...",
    "#...#..#....#..##",
    "#...#..#.......##",
  ]);
});

it("scales, cuts at the border, and leaves gaps for what it does not know", () => {
  expect(drawn("I", 2)[0]).toBe("..######..");
  const small = createImage(3, 3);
  drawText(small, "H", -2, -3, WHITE);
  expect(rows(small)).toEqual(["###", "..#", "..#"]);
  expect(drawn("~")).toEqual(Array.from({ length: 7 }, () => "....."));
  expect(textSize("")).toEqual({ width: 0, height: 7 });
});
