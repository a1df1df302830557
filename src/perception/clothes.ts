import { bodyPoint } from "./body-landmarks.ts";
import { torsoOf } from "./eyes.ts";
import type { BodyPose } from "./pose.ts";
import type { ImagePyramid, Point } from "./region.ts";

/** Colours of a person's trunk and thighs: a histogram each, by which people are told apart and recognised. */
export interface Clothes {
  /** [2, BINS]: shares of the colours; a part that was not in the picture is all 0. */
  readonly shares: Float32Array;
}

/** Steps of each of red, green and blue. */
const STEPS = 6;
const BINS = STEPS ** 3;
/** Samples along each side of a part. */
const GRID = 12;
/** Width of a thigh as a share of its length. */
const THIGH_WIDTH = 0.22;
/** At least this share of a part must lie in the picture. */
const MIN_INSIDE = 0.5;

/** What the person in a picture wears. Shares are spread over neighbouring bins, so that shades do not jump. */
export function clothesOf(body: BodyPose, frame: ImagePyramid): Clothes {
  const shares = new Float32Array(2 * BINS);
  const [leftShoulder, rightShoulder, rightHip, leftHip] = torsoOf(body) as [Point, Point, Point, Point];
  addPart(shares.subarray(0, BINS), frame, [
    [inset(leftShoulder, rightShoulder), inset(rightShoulder, leftShoulder), rightHip, leftHip],
  ]);
  const thighs = (["left", "right"] as const).map((side) =>
    thigh(bodyPoint(body.landmarks, `${side}Hip`), bodyPoint(body.landmarks, `${side}Knee`)),
  );
  addPart(shares.subarray(BINS), frame, thighs);
  return { shares };
}

/** Likeness of two people's clothes, 0..1: the mean Bhattacharyya coefficient of the parts that both show. */
export function likeness(a: Clothes, b: Clothes): number {
  let [sum, numParts] = [0, 0];
  for (const part of [0, 1]) {
    let [both, ours, theirs] = [0, 0, 0];
    for (let i = part * BINS; i < (part + 1) * BINS; i++) {
      both += Math.sqrt(a.shares[i]! * b.shares[i]!);
      ours += a.shares[i]!;
      theirs += b.shares[i]!;
    }
    if (ours < 0.5 || theirs < 0.5) continue;
    sum += both;
    numParts++;
  }
  return numParts === 0 ? UNKNOWN_LIKENESS : sum / numParts;
}

/** Likeness when nothing can be compared: neither one person nor two. */
const UNKNOWN_LIKENESS = 0.5;

/** The mean of several views of one person. */
export function meanClothes(views: readonly Clothes[]): Clothes {
  const shares = new Float32Array(2 * BINS);
  for (const part of [0, 1]) {
    const seen = views.filter((view) =>
      view.shares.subarray(part * BINS, (part + 1) * BINS).some((v) => v > 0),
    );
    for (const view of seen) {
      for (let i = part * BINS; i < (part + 1) * BINS; i++) shares[i]! += view.shares[i]! / seen.length;
    }
  }
  return { shares };
}

type Quad = readonly [Point, Point, Point, Point];

/** A little towards another point: the edges of the trunk show what is behind it. */
function inset(from: Point, to: Point): Point {
  return { x: from.x + 0.12 * (to.x - from.x), y: from.y + 0.12 * (to.y - from.y) };
}

function thigh(hip: Point, knee: Point): Quad {
  const [acrossX, acrossY] = [(hip.y - knee.y) * (THIGH_WIDTH / 2), (knee.x - hip.x) * (THIGH_WIDTH / 2)];
  const at = (point: Point, sign: number): Point => ({
    x: point.x + sign * acrossX,
    y: point.y + sign * acrossY,
  });
  return [at(hip, 1), at(hip, -1), at(knee, -1), at(knee, 1)];
}

/** Adds the colours inside quads to a histogram whose sum is then 1; leaves it empty when too little is visible. */
function addPart(histogram: Float32Array, frame: ImagePyramid, quads: readonly Quad[]): void {
  const { width, height, data } = frame.image;
  let numInside = 0;
  for (const [a, b, c, d] of quads) {
    for (let i = 0; i < GRID * GRID; i++) {
      const [u, v] = [((i % GRID) + 0.5) / GRID, (Math.floor(i / GRID) + 0.5) / GRID];
      const mix = (axis: "x" | "y"): number =>
        Math.floor((a[axis] * (1 - u) + b[axis] * u) * (1 - v) + (d[axis] * (1 - u) + c[axis] * u) * v);
      const [x, y] = [mix("x"), mix("y")];
      if (x < 0 || y < 0 || x >= width || y >= height) continue;
      numInside++;
      spread(histogram, data, 3 * (y * width + x));
    }
  }
  if (numInside < MIN_INSIDE * quads.length * GRID * GRID) histogram.fill(0);
  else for (let i = 0; i < BINS; i++) histogram[i]! /= numInside;
}

/** Adds one colour to the eight bins around it, trilinearly. */
function spread(histogram: Float32Array, data: Uint8Array, at: number): void {
  const place = [0, 1, 2].map((c) => (data[at + c]! / 255) * (STEPS - 1));
  for (let corner = 0; corner < 8; corner++) {
    let [bin, weight] = [0, 1];
    for (let c = 0; c < 3; c++) {
      const low = Math.min(STEPS - 2, Math.floor(place[c]!));
      const upper = (corner >> c) & 1;
      const f = place[c]! - low;
      weight *= upper ? f : 1 - f;
      bin = bin * STEPS + low + upper;
    }
    histogram[bin]! += weight;
  }
}
