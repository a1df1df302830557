import type { Size } from "./keypoints.ts";
import { type Region, toRegion } from "./region.ts";

/** Probability per pixel of a region that it shows the person. */
export interface PersonMask {
  readonly region: Region;
  /** Pixels along each side. */
  readonly resolution: number;
  /** [resolution, resolution], 0..1, rows from the top of the region. */
  readonly values: Float32Array;
}

/** The mask in the picture it was made from, [height, width], 0..1, interpolated; 0 outside the region. */
export function maskInPicture(mask: PersonMask, { width, height }: Size): Float32Array {
  const out = new Float32Array(width * height);
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const { u, v } = toRegion(mask.region, { x: column + 0.5, y: row + 0.5 });
      if (u >= 0 && u < 1 && v >= 0 && v < 1) out[row * width + column] = valueAt(mask, u, v);
    }
  }
  return out;
}

function valueAt({ resolution, values }: PersonMask, u: number, v: number): number {
  const last = resolution - 1;
  const x = Math.min(last, Math.max(0, u * resolution - 0.5));
  const y = Math.min(last, Math.max(0, v * resolution - 0.5));
  const [left, top] = [Math.floor(x), Math.floor(y)];
  const [right, bottom] = [Math.min(last, left + 1), Math.min(last, top + 1)];
  const along = (row: number): number => {
    const from = values[row * resolution + left]!;
    return from + (values[row * resolution + right]! - from) * (x - left);
  };
  return along(top) + (along(bottom) - along(top)) * (y - top);
}
