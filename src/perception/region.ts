import { type Image, imageFromBytes } from "../media/pixels.ts";

/** A point of the picture in pixels from its top left corner; pixel i covers i to i + 1. */
export interface Point {
  readonly x: number;
  readonly y: number;
}

/** A square of the picture that a network looks at, turned by `rotation` radians (from +x towards +y). */
export interface Region {
  readonly center: Point;
  readonly size: number;
  readonly rotation: number;
}

/** The smallest upright square around the whole picture. */
export function wholeImage({ width, height }: Image): Region {
  return { center: { x: width / 2, y: height / 2 }, size: Math.max(width, height), rotation: 0 };
}

/** The point of the picture at (u, v) of the region, each 0..1 from its top left corner. */
export function fromRegion({ center, size, rotation }: Region, u: number, v: number): Point {
  const [du, dv] = [(u - 0.5) * size, (v - 0.5) * size];
  const [cos, sin] = [Math.cos(rotation), Math.sin(rotation)];
  return { x: center.x + du * cos - dv * sin, y: center.y + du * sin + dv * cos };
}

/** The inverse of `fromRegion`. */
export function toRegion({ center, size, rotation }: Region, { x, y }: Point): { u: number; v: number } {
  const [dx, dy] = [x - center.x, y - center.y];
  const [cos, sin] = [Math.cos(rotation), Math.sin(rotation)];
  return { u: (dx * cos + dy * sin) / size + 0.5, v: (dy * cos - dx * sin) / size + 0.5 };
}

/** Rotation that makes the direction from one point to another point up in the region, in (-pi, pi]. */
export function uprightRotation(from: Point, to: Point): number {
  return Math.atan2(to.x - from.x, from.y - to.y);
}

/** A picture and its halvings, made when first needed: regions are sampled from the level nearest to their scale. */
export class ImagePyramid {
  private readonly levels: Image[];

  constructor(readonly image: Image) {
    this.levels = [image];
  }

  /** The picture halved `level` times. */
  level(level: number): Image {
    while (this.levels.length <= level) this.levels.push(halve(this.levels.at(-1)!));
    return this.levels[level]!;
  }
}

/** 2x2 means; an odd last row or column is dropped. */
function halve({ width, height, data }: Image): Image {
  const [halfWidth, halfHeight] = [Math.max(1, width >> 1), Math.max(1, height >> 1)];
  const out = new Uint8Array(halfWidth * halfHeight * 3);
  const right = width > 1 ? 3 : 0;
  const below = height > 1 ? width * 3 : 0;
  for (let y = 0; y < halfHeight; y++) {
    let a = 2 * y * width * 3;
    let b = a + below;
    let to = y * halfWidth * 3;
    for (let x = 0; x < halfWidth; x++, a += 6, b += 6, to += 3) {
      out[to] = (data[a]! + data[a + right]! + data[b]! + data[b + right]! + 2) >> 2;
      out[to + 1] = (data[a + 1]! + data[a + right + 1]! + data[b + 1]! + data[b + right + 1]! + 2) >> 2;
      out[to + 2] = (data[a + 2]! + data[a + right + 2]! + data[b + 2]! + data[b + right + 2]! + 2) >> 2;
    }
  }
  return imageFromBytes(halfWidth, halfHeight, out);
}

/** Halvings that turn any picture into a few pixels. */
const MAX_LEVEL = 12;

/** Samples of a picture on an even grid. */
export interface SampleGrid {
  /** Samples in a row, and rows. */
  readonly width: number;
  readonly height: number;
  /** The point of the picture in the middle of the grid. */
  readonly center: Point;
  /** Ways in the picture from a sample to the next in its row, and to the next row. */
  readonly across: Point;
  readonly down: Point;
}

/** How the bytes of a picture become the numbers of a network's input. */
export interface ChannelScale {
  /** Values of byte 0 and of byte 255, by channel of the input. */
  readonly low: readonly [number, number, number];
  readonly high: readonly [number, number, number];
  /** Channel of the picture, 0 red to 2 blue, that each channel of the input shows. */
  readonly order: readonly [number, number, number];
  /** Byte of what lies outside the picture. */
  readonly outside: number;
}

/**
 * The pixels of a region as network input [3, resolution, resolution], channel values from `low` (0) to `high` (255).
 * Black outside the picture.
 */
export function sampleRegion(
  pyramid: ImagePyramid,
  { center, size, rotation }: Region,
  resolution: number,
  [low, high]: readonly [low: number, high: number],
): Float32Array {
  const step = size / resolution;
  const [cos, sin] = [Math.cos(rotation) * step, Math.sin(rotation) * step];
  const across = { x: cos, y: sin };
  const grid = { width: resolution, height: resolution, center, across, down: { x: -sin, y: cos } };
  return sampleGrid(pyramid, grid, { ...RGB, low: [low, low, low], high: [high, high, high] });
}

/** Channels as they are. */
const RGB = { order: [0, 1, 2], outside: 0 } as const;

/**
 * A grid of samples as network input [3, height, width]. Bilinear, from the pyramid level at which a step is at most
 * two pixels.
 */
export function sampleGrid(pyramid: ImagePyramid, grid: SampleGrid, channels: ChannelScale): Float32Array {
  const size = Math.max(grid.width, grid.height);
  const reach = size * Math.hypot(grid.across.x, grid.across.y);
  let level = 0;
  while (level < MAX_LEVEL && reach / 2 ** level > 2 * size) level++;
  const scale = 0.5 ** level;
  const { width, height, data } = pyramid.level(level);
  const { low, order, outside } = channels;
  const gain = channels.high.map((high, c) => (high - low[c]!) / 255) as [number, number, number];
  const plane = grid.width * grid.height;
  const out = new Float32Array(3 * plane);
  low.forEach((value, c) => out.fill(value + gain[c]! * outside, c * plane, (c + 1) * plane));
  const [acrossX, acrossY] = [grid.across.x * scale, grid.across.y * scale];
  const [downX, downY] = [grid.down.x * scale, grid.down.y * scale];
  // Pixel centres lie at half-integers: subtracting 0.5 makes the integer part the left or upper neighbour.
  const originX = grid.center.x * scale - 0.5;
  const originY = grid.center.y * scale - 0.5;
  const pixel = (x: number, y: number, c: number): number =>
    x >= 0 && y >= 0 && x < width && y < height ? data[(y * width + x) * 3 + c]! : outside;
  for (let row = 0, at = 0; row < grid.height; row++) {
    const v = row + 0.5 - grid.height / 2;
    for (let column = 0; column < grid.width; column++, at++) {
      const u = column + 0.5 - grid.width / 2;
      const x = originX + u * acrossX + v * downX;
      const y = originY + u * acrossY + v * downY;
      const left = Math.floor(x);
      const top = Math.floor(y);
      if (left < -1 || top < -1 || left >= width || top >= height) continue;
      const fx = x - left;
      const fy = y - top;
      if (left >= 0 && top >= 0 && left + 1 < width && top + 1 < height) {
        const upper = (top * width + left) * 3;
        const lower = upper + width * 3;
        // Channel by channel: most of the time of sampling goes here, and a loop would add to it.
        out[at] = low[0] + gain[0] * bilinear(data, upper + order[0], lower + order[0], fx, fy);
        out[plane + at] = low[1] + gain[1] * bilinear(data, upper + order[1], lower + order[1], fx, fy);
        out[2 * plane + at] = low[2] + gain[2] * bilinear(data, upper + order[2], lower + order[2], fx, fy);
        continue;
      }
      for (let c = 0; c < 3; c++) {
        const from = order[c]!;
        const upper = pixel(left, top, from) * (1 - fx) + pixel(left + 1, top, from) * fx;
        const lower = pixel(left, top + 1, from) * (1 - fx) + pixel(left + 1, top + 1, from) * fx;
        out[c * plane + at] = low[c]! + gain[c]! * (upper * (1 - fy) + lower * fy);
      }
    }
  }
  return out;
}

/** Between a byte and its right neighbour in one row, and the same in the row below. */
function bilinear(data: Uint8Array, upper: number, lower: number, fx: number, fy: number): number {
  const above = data[upper]! * (1 - fx) + data[upper + 3]! * fx;
  const below = data[lower]! * (1 - fx) + data[lower + 3]! * fx;
  return above + (below - above) * fy;
}
