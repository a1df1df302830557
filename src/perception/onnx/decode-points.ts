/** From the output of pose networks to points, in pixels of their input counted between the centres of pixels. */
import type { Keypoint } from "../../media/pose-keypoints.ts";
import { SIMCC_BINS } from "./signature.ts";

/**
 * Points of SimCC (ECCV 2022): a vector of bins along each axis, two bins per pixel. The published decoding takes the
 * largest bin; here a parabola through it and its neighbours places the point between bins. The score is the smaller of
 * both maxima, kept within 0..1.
 * @param xs [numPoints, SIMCC_BINS · width]
 * @param ys [numPoints, SIMCC_BINS · height]
 */
export function decodeSimcc(xs: Float32Array, ys: Float32Array, numPoints: number): Keypoint[] {
  const along = (values: Float32Array, point: number): { place: number; value: number } => {
    const numBins = values.length / numPoints;
    const bins = values.subarray(point * numBins, (point + 1) * numBins);
    const top = indexOfMax(bins);
    const place = top + summit(bins[top - 1], bins[top]!, bins[top + 1]);
    return { place: place / SIMCC_BINS, value: bins[top]! };
  };
  return Array.from({ length: numPoints }, (_, i) => {
    const [x, y] = [along(xs, i), along(ys, i)];
    return { x: x.place, y: y.place, score: clamped(Math.min(x.value, y.value)) };
  });
}

/** Side of the Gaussian that smooths heat maps before they are read, and its deviation (OpenCV's for this side). */
const BLUR_SIDE = 11;
const BLUR_SIGMA = 2;
/** Smoothed values are limited to this range before their logarithm is taken. */
const [LEAST, MOST] = [1e-3, 50];

const BLUR = Array.from({ length: BLUR_SIDE }, (_, i) =>
  Math.exp(-((i - (BLUR_SIDE - 1) / 2) ** 2) / (2 * BLUR_SIGMA ** 2)),
);
const BLUR_SUM = BLUR.reduce((sum, weight) => sum + weight, 0);

/**
 * Points of heat maps by DARK with unbiased scaling (CVPR 2020, both): the largest pixel, moved to the summit of the
 * parabola that fits the logarithm of the smoothed map there. Only the surroundings of the largest pixel are smoothed;
 * of the published decoding this leaves out nothing but the map's rescaling to its old maximum, which is done by the
 * value at that pixel.
 * @param maps [numPoints, rows, columns]
 * @param input size of the network's input, whose first and last pixels fall on those of the map
 */
export function decodeHeatmaps(
  maps: Float32Array,
  { rows, columns }: { readonly rows: number; readonly columns: number },
  input: { readonly width: number; readonly height: number },
): Keypoint[] {
  const numPoints = maps.length / (rows * columns);
  return Array.from({ length: numPoints }, (_, i) => {
    const map = maps.subarray(i * rows * columns, (i + 1) * rows * columns);
    const top = indexOfMax(map);
    const [x, y] = [top % columns, Math.floor(top / columns)];
    const score = map[top]!;
    if (!(score > 0)) return { x: 0, y: 0, score: 0 };
    const { dx, dy } = summitAround(map, rows, columns, x, y);
    return {
      x: ((x + dx) / (columns - 1)) * (input.width - 1),
      y: ((y + dy) / (rows - 1)) * (input.height - 1),
      score: clamped(score),
    };
  });
}

/** Newton's step to the summit of the logarithm of a smoothed map. */
function summitAround(map: Float32Array, rows: number, columns: number, x: number, y: number) {
  const smoothed = (column: number, row: number): number => {
    const half = (BLUR_SIDE - 1) / 2;
    // At the edge the map goes on as it ends; under the blur it is 0 outside.
    const [cx, cy] = [Math.min(columns - 1, Math.max(0, column)), Math.min(rows - 1, Math.max(0, row))];
    let sum = 0;
    for (let j = Math.max(0, cy - half); j <= Math.min(rows - 1, cy + half); j++) {
      for (let i = Math.max(0, cx - half); i <= Math.min(columns - 1, cx + half); i++) {
        sum += map[j * columns + i]! * BLUR[i - cx + half]! * BLUR[j - cy + half]!;
      }
    }
    return sum / BLUR_SUM ** 2;
  };
  const scale = map[y * columns + x]! / smoothed(x, y);
  const at = (i: number, j: number): number =>
    Math.log(Math.min(MOST, Math.max(LEAST, smoothed(x + i, y + j) * scale)));
  const center = at(0, 0);
  const [right, left, below, above] = [at(1, 0), at(-1, 0), at(0, 1), at(0, -1)];
  const [gx, gy] = [(right - left) / 2, (below - above) / 2];
  const [xx, yy] = [right - 2 * center + left, below - 2 * center + above];
  const xy = (at(1, 1) - right - below + 2 * center - left - above + at(-1, -1)) / 2;
  const determinant = xx * yy - xy * xy;
  // No summit: flat, or a saddle.
  if (!(determinant > 1e-12) || xx >= 0) return { dx: 0, dy: 0 };
  return {
    dx: -(yy * gx - xy * gy) / determinant,
    dy: -(xx * gy - xy * gx) / determinant,
  };
}

/** Way from the middle one of three values to the summit of the parabola through them, at most half a step. */
function summit(before: number | undefined, top: number, after: number | undefined): number {
  if (before === undefined || after === undefined) return 0;
  const bend = before - 2 * top + after;
  return bend < 0 ? (before - after) / (2 * bend) : 0;
}

function indexOfMax(values: Float32Array): number {
  let top = 0;
  for (let i = 1; i < values.length; i++) if (values[i]! > values[top]!) top = i;
  return top;
}

const clamped = (score: number): number => Math.min(1, Math.max(0, score));
