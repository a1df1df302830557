import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { ellipsePolygon, rasterCircle, rasterConvexPolygon, rasterThickLine } from "./opencv-raster.ts";
import { createImage, type Image, type Rgb } from "./pixels.ts";

type Pair = [number, number];
type Rows = [number, number[]][];
interface Ellipse {
  center: Pair;
  axes: Pair;
  angle: number;
}
const reference: {
  ellipse2Poly: (Ellipse & { points: Pair[]; filled_rows: [number, number, number][] })[];
  circle_r4_center_7_7_rows: Rows;
  circle_r4_center_1_13_clipped_rows: Rows;
  line_thickness2: { from: Pair; to: Pair; size: Pair; rows: Rows }[];
  clipped_limb: (Ellipse & { size: Pair; rows: Rows })[];
} = JSON.parse(readFileSync(new URL("../../fixtures/skeleton/primitives.json", import.meta.url), "utf8"));

const RED: Rgb = [255, 0, 0];
const point = ([x, y]: Pair) => ({ x, y });
const polygonOf = ({ center, axes, angle }: Ellipse) => ellipsePolygon(point(center), point(axes), angle);

/** Columns of the lit pixels of every row that has any. */
function litRows({ width, height, data }: Image): Rows {
  const rows: Rows = [];
  for (let y = 0; y < height; y++) {
    const columns = Array.from({ length: width }, (_, x) => x).filter(
      (x) => data[(y * width + x) * 3] === 255,
    );
    if (columns.length > 0) rows.push([y, columns]);
  }
  return rows;
}

describe("against OpenCV 4.6", () => {
  it.each(reference.ellipse2Poly)("ellipse $axes at $angle degrees", (ellipse) => {
    expect(polygonOf(ellipse)).toEqual(ellipse.points.map(point));
    const image = createImage(64, 64);
    rasterConvexPolygon(image, polygonOf(ellipse), RED);
    expect(litRows(image).map(([y, columns]) => [y, columns[0], columns.at(-1)])).toEqual(
      ellipse.filled_rows,
    );
  });

  it.each(reference.clipped_limb)("ellipse cut by the border, centre $center", (ellipse) => {
    const image = createImage(...ellipse.size);
    rasterConvexPolygon(image, polygonOf(ellipse), RED);
    expect(litRows(image)).toEqual(ellipse.rows);
  });

  it.each(reference.line_thickness2)("line of thickness 2 from $from to $to", ({ from, to, size, rows }) => {
    const image = createImage(...size);
    rasterThickLine(image, point(from), point(to), 2, RED);
    expect(litRows(image)).toEqual(rows);
  });

  it("circles, whole and cut", () => {
    const whole = createImage(15, 15);
    rasterCircle(whole, { x: 7, y: 7 }, 4, RED);
    expect(litRows(whole)).toEqual(reference.circle_r4_center_7_7_rows);
    const cut = createImage(15, 15);
    rasterCircle(cut, { x: 1, y: 13 }, 4, RED);
    expect(litRows(cut)).toEqual(reference.circle_r4_center_1_13_clipped_rows);
  });
});
