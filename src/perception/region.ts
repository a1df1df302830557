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
    let from = 2 * y * width * 3;
    let to = y * halfWidth * 3;
    for (let x = 0; x < halfWidth; x++, from += 6, to += 3) {
      for (let c = 0; c < 3; c++) {
        const at = from + c;
        out[to + c] =
          (data[at]! + data[at + right]! + data[at + below]! + data[at + right + below]! + 2) >> 2;
      }
    }
  }
  return imageFromBytes(halfWidth, halfHeight, out);
}

/** Halvings that turn any picture into a few pixels. */
const MAX_LEVEL = 12;

/**
 * The pixels of a region as network input [3, resolution, resolution], channel values from `low` (0) to `high` (255).
 * Bilinear, from the pyramid level at which a step is at most two pixels; black outside the picture.
 */
export function sampleRegion(
  pyramid: ImagePyramid,
  region: Region,
  resolution: number,
  [low, high]: readonly [low: number, high: number],
): Float32Array {
  let level = 0;
  while (level < MAX_LEVEL && region.size / 2 ** level > 2 * resolution) level++;
  const scale = 0.5 ** level;
  const { width, height, data } = pyramid.level(level);
  const gain = (high - low) / 255;
  const plane = resolution * resolution;
  const out = new Float32Array(3 * plane);
  const step = (region.size * scale) / resolution;
  const [cos, sin] = [Math.cos(region.rotation) * step, Math.sin(region.rotation) * step];
  // Pixel centres lie at half-integers: subtracting 0.5 makes the integer part the left or upper neighbour.
  const originX = region.center.x * scale - 0.5;
  const originY = region.center.y * scale - 0.5;
  const isInside = (x: number, y: number): boolean => x >= 0 && y >= 0 && x < width && y < height;
  for (let row = 0, at = 0; row < resolution; row++) {
    const v = row + 0.5 - resolution / 2;
    for (let column = 0; column < resolution; column++, at++) {
      const u = column + 0.5 - resolution / 2;
      const x = originX + u * cos - v * sin;
      const y = originY + u * sin + v * cos;
      const left = Math.floor(x);
      const top = Math.floor(y);
      const fx = x - left;
      const fy = y - top;
      const first = (top * width + left) * 3;
      const below = first + width * 3;
      if (left >= 0 && top >= 0 && left + 1 < width && top + 1 < height) {
        for (let c = 0; c < 3; c++) {
          const upper = data[first + c]! * (1 - fx) + data[first + 3 + c]! * fx;
          const lower = data[below + c]! * (1 - fx) + data[below + 3 + c]! * fx;
          out[c * plane + at] = low + gain * (upper + (lower - upper) * fy);
        }
        continue;
      }
      for (let c = 0; c < 3; c++) {
        let value = 0;
        if (isInside(left, top)) value += data[first + c]! * (1 - fx) * (1 - fy);
        if (isInside(left + 1, top)) value += data[first + 3 + c]! * fx * (1 - fy);
        if (isInside(left, top + 1)) value += data[below + c]! * (1 - fx) * fy;
        if (isInside(left + 1, top + 1)) value += data[below + 3 + c]! * fx * fy;
        out[c * plane + at] = low + gain * value;
      }
    }
  }
  return out;
}
