import type { Image, Rgb } from "./pixels.ts";

/**
 * OpenCV's integer rasterisation without anti-aliasing (8-connected), pixel for pixel: the published skeletons were
 * drawn with it. Fixed-point values carry 16 fractional bits and stay exact in doubles.
 */
export interface IntPoint {
  readonly x: number;
  readonly y: number;
}

const ONE = 65536;
const HALF = ONE / 2;
const shiftDown = (fixed: number) => Math.floor(fixed / ONE);

/** Sine of whole degrees as OpenCV tabulates it: seven decimals, single precision. */
const SINE = Float32Array.from({ length: 451 }, (_, degree) =>
  Number(Math.sin((degree * Math.PI) / 180).toFixed(7)),
);

/** Filled disc by the midpoint circle. */
export function rasterCircle(image: Image, center: IntPoint, radius: number, color: Rgb): void {
  let [error, dx, dy, plus, minus] = [0, radius, 0, 1, 2 * radius - 1];
  while (dx >= dy) {
    for (const [row, reach] of [
      [dy, dx],
      [dx, dy],
    ] as const) {
      fillRow(image, center.y - row, center.x - reach, center.x + reach, color);
      fillRow(image, center.y + row, center.x - reach, center.x + reach, color);
    }
    dy += 1;
    error += plus;
    plus += 2;
    if (error > 0) {
      error -= minus;
      dx -= 1;
      minus -= 2;
    }
  }
}

/** Corners of an ellipse at every degree, rounded to pixels (ties to even), repeats dropped; `degrees` is whole. */
export function ellipsePolygon(center: IntPoint, axes: IntPoint, degrees: number): IntPoint[] {
  const turn = ((degrees % 360) + 360) % 360;
  const cos = SINE[450 - turn]!;
  const sin = SINE[turn]!;
  const corners: IntPoint[] = [];
  for (let degree = 0; degree <= 360; degree++) {
    const u = axes.x * SINE[450 - degree]!;
    const v = axes.y * SINE[degree]!;
    const x = roundHalfEven(center.x + u * cos - v * sin);
    const y = roundHalfEven(center.y + u * sin + v * cos);
    const last = corners.at(-1);
    if (!last || last.x !== x || last.y !== y) corners.push({ x, y });
  }
  return corners.length === 1 ? [center, center] : corners;
}

/** Filled convex polygon with whole-pixel corners, its outline included. */
export function rasterConvexPolygon(image: Image, corners: readonly IntPoint[], color: Rgb): void {
  let previous = corners.at(-1);
  for (const corner of corners) {
    rasterThinLine(image, previous ?? corner, corner, color);
    previous = corner;
  }
  fillConvex(
    image,
    corners.map((p) => ({ x: p.x * ONE, y: p.y * ONE })),
    color,
  );
}

/** Line of even thickness with round ends, between whole pixels. */
export function rasterThickLine(
  image: Image,
  from: IntPoint,
  to: IntPoint,
  thickness: number,
  color: Rgb,
): void {
  const [dx, dy] = [from.x - to.x, to.y - from.y];
  const length = Math.sqrt(dx * dx + dy * dy);
  const half = thickness * HALF;
  if (length > 0) {
    const px = roundHalfEven(dy * (half / length));
    const py = roundHalfEven(dx * (half / length));
    const [ax, ay, bx, by] = [from.x * ONE, from.y * ONE, to.x * ONE, to.y * ONE];
    const corners = [
      { x: ax + px, y: ay + py },
      { x: ax - px, y: ay - py },
      { x: bx - px, y: by - py },
      { x: bx + px, y: by + py },
    ];
    let previous = corners[3]!;
    for (const corner of corners) {
      rasterFixedLine(image, previous, corner, color);
      previous = corner;
    }
    fillConvex(image, corners, color);
  }
  const radius = shiftDown(half + HALF);
  rasterCircle(image, from, radius, color);
  rasterCircle(image, to, radius, color);
}

/** Interior of a convex polygon in fixed point: two edges walk down from the topmost corner. */
function fillConvex(image: Image, corners: readonly IntPoint[], color: Rgb): void {
  const count = corners.length;
  const rows = corners.map((p) => shiftDown(p.y + HALF));
  const columns = corners.map((p) => shiftDown(p.x + HALF));
  const [xMin, xMax] = [Math.min(...columns), Math.max(...columns)];
  const yMin = Math.min(...rows);
  if (count < 3 || xMax < 0 || Math.max(...rows) < 0 || xMin >= image.width || yMin >= image.height) return;
  const yMax = Math.min(Math.max(...rows), image.height - 1);
  // The topmost corner is chosen by its unrounded height, the first one on ties.
  let top = 0;
  corners.forEach((p, i) => {
    if (p.y < corners[top]!.y) top = i;
  });
  const edges = [1, count - 1].map((step) => ({ step, corner: top, x: -ONE, dx: 0, yEnd: yMin }));
  let unused = count;
  for (let y = yMin; y <= yMax; y++) {
    for (const edge of edges) {
      if (y < edge.yEnd) continue;
      let start = edge.corner;
      let end = (start + edge.step) % count;
      while (unused-- > 0) {
        const yEnd = rows[end]!;
        if (yEnd > y) {
          const [xs, xe] = [corners[start]!.x, corners[end]!.x];
          edge.yEnd = yEnd;
          edge.dx = Math.trunc(((xe - xs) * 2 + (yEnd - y)) / (2 * (yEnd - y)));
          edge.x = xs;
          edge.corner = end;
          break;
        }
        start = end;
        end = (end + edge.step) % count;
      }
    }
    const [a, b] = [edges[0]!.x, edges[1]!.x];
    fillRow(image, y, shiftDown(Math.min(a, b) + HALF), shiftDown(Math.max(a, b) + HALF), color);
    for (const edge of edges) edge.x += edge.dx;
  }
}

/** One-pixel line between whole pixels: clipped, then Bresenham from left to right. */
function rasterThinLine(image: Image, from: IntPoint, to: IntPoint, color: Rgb): void {
  const clipped = clipLine(image.width, image.height, from, to);
  if (!clipped) return;
  let [start, end] = clipped;
  if (end.x < start.x) [start, end] = [end, start];
  const dx = end.x - start.x;
  const dy = Math.abs(end.y - start.y);
  const yStep = end.y < start.y ? -1 : 1;
  const steep = dy > dx;
  const [major, minor] = steep ? [dy, dx] : [dx, dy];
  let error = major - 2 * minor;
  let { x, y } = start;
  for (let i = 0; i <= major; i++) {
    setPixel(image, x, y, color);
    const sideways = error < 0;
    error += (sideways ? 2 * major : 0) - 2 * minor;
    if (steep || sideways) y += yStep;
    if (!steep || sideways) x += 1;
  }
}

/** One-pixel line between fixed-point ends. */
function rasterFixedLine(image: Image, from: IntPoint, to: IntPoint, color: Rgb): void {
  const clipped = clipLine(image.width * ONE, image.height * ONE, from, to);
  if (!clipped) return;
  let [start, end] = clipped;
  const flat = Math.abs(end.x - start.x) > Math.abs(end.y - start.y);
  if (flat ? end.x < start.x : end.y < start.y) [start, end] = [end, start];
  const [dx, dy] = [end.x - start.x, end.y - start.y];
  setPixel(image, shiftDown(end.x + HALF), shiftDown(end.y + HALF), color);
  // OpenCV divides by the length with its lowest bit set, so that it is never zero.
  const slope = Math.trunc(flat ? (dy * ONE) / oddUp(dx) : (dx * ONE) / oddUp(dy));
  const steps = shiftDown(flat ? dx : dy);
  for (let i = 0; i <= steps; i++) {
    const x = shiftDown(start.x + HALF + (flat ? i * ONE : i * slope));
    const y = shiftDown(start.y + HALF + (flat ? i * slope : i * ONE));
    setPixel(image, x, y, color);
  }
}

const oddUp = (n: number) => (n % 2 === 0 ? n + 1 : n);

/** The part of a line inside 0..width-1, 0..height-1 with whole coordinates (cut points truncated), or nothing. */
function clipLine(
  width: number,
  height: number,
  from: IntPoint,
  to: IntPoint,
): [IntPoint, IntPoint] | undefined {
  const [right, bottom] = [width - 1, height - 1];
  let [x1, y1, x2, y2] = [from.x, from.y, to.x, to.y];
  // Most lines lie inside as they are.
  if (Math.min(x1, x2, y1, y2) >= 0 && Math.max(x1, x2) <= right && Math.max(y1, y2) <= bottom) {
    return [from, to];
  }
  const sideways = (x: number) => (x < 0 ? 1 : 0) + (x > right ? 2 : 0);
  const outside = (x: number, y: number) => sideways(x) + (y < 0 ? 4 : 0) + (y > bottom ? 8 : 0);
  let [c1, c2] = [outside(x1, y1), outside(x2, y2)];
  const cuttable = () => (c1 & c2) === 0 && (c1 | c2) !== 0;
  if (cuttable()) {
    if (c1 & 12) {
      const edge = c1 < 8 ? 0 : bottom;
      x1 += Math.trunc(((edge - y1) * (x2 - x1)) / (y2 - y1));
      y1 = edge;
      c1 = sideways(x1);
    }
    if (c2 & 12) {
      const edge = c2 < 8 ? 0 : bottom;
      x2 += Math.trunc(((edge - y2) * (x2 - x1)) / (y2 - y1));
      y2 = edge;
      c2 = sideways(x2);
    }
    if (cuttable()) {
      if (c1) {
        const edge = c1 === 1 ? 0 : right;
        y1 += Math.trunc(((edge - x1) * (y2 - y1)) / (x2 - x1));
        x1 = edge;
        c1 = 0;
      }
      if (c2) {
        const edge = c2 === 1 ? 0 : right;
        y2 += Math.trunc(((edge - x2) * (y2 - y1)) / (x2 - x1));
        x2 = edge;
        c2 = 0;
      }
    }
  }
  if ((c1 | c2) !== 0) return undefined;
  return [
    { x: x1, y: y1 },
    { x: x2, y: y2 },
  ];
}

function fillRow({ width, height, data }: Image, y: number, left: number, right: number, color: Rgb): void {
  if (y < 0 || y >= height) return;
  const [r, g, b] = color;
  const last = (y * width + Math.min(width - 1, right)) * 3;
  for (let at = (y * width + Math.max(0, left)) * 3; at <= last; at += 3) {
    data[at] = r;
    data[at + 1] = g;
    data[at + 2] = b;
  }
}

function setPixel(image: Image, x: number, y: number, color: Rgb): void {
  fillRow(image, y, x, x, color);
}

/** Rounds to the nearest whole number, halves to the even one. */
function roundHalfEven(value: number): number {
  const low = Math.floor(value);
  const rest = value - low;
  if (rest !== 0.5) return rest < 0.5 ? low : low + 1;
  return low % 2 === 0 ? low : low + 1;
}
