import { strokeLine } from "../media/draw.ts";
import { createImage, type Image } from "../media/pixels.ts";
import { type PoseKeypoints, transformPose } from "../media/pose-keypoints.ts";
import { BODY_LINKS } from "../media/skeleton.ts";
import type { PersonFrame } from "./person-frame.ts";
import { ImagePyramid } from "./region.ts";
import type { Box } from "./survey.ts";

/** How the surroundings of the person changed from the frame before; zeros for the first frame. */
export interface BackgroundMotion {
  /** Shift of the background to the right and down, as shares of the picture's longer side. */
  readonly x: number;
  readonly y: number;
  /** Growth around the middle of the picture, 0 when nothing is nearer or farther; 0.01 = 1 % larger. */
  readonly zoom: number;
  /** Mean difference of the background's brightness, 0..1. */
  readonly change: number;
}

export const NO_MOTION: BackgroundMotion = { x: 0, y: 0, zoom: 0, change: 0 };

/** Pictures are compared with their longer side between this and half of it, in pixels. */
const LONGEST = 160;

/** Shrunken twice again for large motions, which the finer levels then refine. */
const NUM_LEVELS = 3;

/** Below this share of visible background nothing is measured. */
const LEAST_BACKGROUND = 0.03;

/**
 * Measures frame by frame how the background moves. The person is left out, as wide as a body is around its skeleton, and
 * so is everybody else, in a box.
 */
export class BackgroundWatch {
  private previous: View | null = null;

  /**
   * How the background moved from the frame before to this one.
   * @param person who is in the frame, in pixels of a picture of the person's own `size`
   */
  next(image: Image, person: PersonFrame): BackgroundMotion {
    const current = viewOf(image, person);
    const motion = this.previous ? motionBetween(this.previous, current) : NO_MOTION;
    this.previous = current;
    return motion;
  }
}

/** A picture's brightness and where its background is, from fine to coarse. */
interface View {
  readonly levels: readonly Level[];
}

interface Level {
  readonly width: number;
  readonly height: number;
  /** 0..1. */
  readonly luma: Float32Array;
  /** 1 where the background shows. */
  readonly background: Uint8Array;
}

function viewOf(image: Image, person: PersonFrame): View {
  const pyramid = new ImagePyramid(image);
  let finest = 0;
  while (Math.max(image.width, image.height) >> finest > LONGEST) finest++;
  const levels = Array.from({ length: NUM_LEVELS }, (_, i) => levelOf(pyramid.level(finest + i), person));
  return { levels };
}

function levelOf({ width, height, data }: Image, { pose, size, others = [] }: PersonFrame): Level {
  const luma = new Float32Array(width * height);
  for (let i = 0; i < luma.length; i++) {
    luma[i] = (0.299 * data[3 * i]! + 0.587 * data[3 * i + 1]! + 0.114 * data[3 * i + 2]!) / 255;
  }
  const scale = { scaleX: width / size.width, scaleY: height / size.height };
  const covered = coverBody(transformPose(pose, { left: 0, top: 0, ...scale }), width, height);
  const background = new Uint8Array(luma.length);
  for (let i = 0; i < background.length; i++) background[i] = covered.data[3 * i]! > 0 ? 0 : 1;
  for (const box of others) coverBox(background, width, height, box, scale);
  return { width, height, luma, background };
}

/** Limbs with their clothes reach this share of the trunk to either side of the skeleton. */
const BODY_RADIUS = 0.32;

/** A black picture, bright where a body with its clothes and hair may be. */
function coverBody({ body }: PoseKeypoints, width: number, height: number): Image {
  const picture = createImage(width, height);
  const links = BODY_LINKS.flatMap(([a, b]) => {
    const [from, to] = [body[a]!, body[b]!];
    const isSeen = from.score > 0.3 && to.score > 0.3 && Number.isFinite(from.x + from.y + to.x + to.y);
    return isSeen ? [{ from, to }] : [];
  });
  const longest = Math.max(0, ...links.map(({ from, to }) => Math.hypot(from.x - to.x, from.y - to.y)));
  const radius = Math.min(BODY_RADIUS * longest, 0.25 * Math.max(width, height)) + 1;
  for (const { from, to } of links) strokeLine(picture, from, to, radius, [255, 255, 255]);
  return picture;
}

/** Hair, clothes and what a hand does between two searches reach this share of a box's longer side beyond it. */
const BOX_MARGIN = 0.12;

/** Takes a box, in pixels before `scale`, out of the background. */
function coverBox(
  background: Uint8Array,
  width: number,
  height: number,
  { left, top, right, bottom }: Box,
  { scaleX, scaleY }: { readonly scaleX: number; readonly scaleY: number },
): void {
  const margin = BOX_MARGIN * Math.max(right - left, bottom - top);
  const within = (value: number, side: number): number => Math.min(side, Math.max(0, Math.round(value)));
  const [from, to] = [within((left - margin) * scaleX, width), within((right + margin) * scaleX, width)];
  const lowest = within((bottom + margin) * scaleY, height);
  for (let y = within((top - margin) * scaleY, height); y < lowest; y++) {
    background.fill(0, y * width + from, y * width + Math.max(from, to));
  }
}

/** From the coarsest level to the finest: what one finds is where the next one begins. */
function motionBetween(before: View, after: View): BackgroundMotion {
  let motion = { x: 0, y: 0, zoom: 0 };
  for (let i = NUM_LEVELS - 1; i >= 0; i--) motion = refine(before.levels[i]!, after.levels[i]!, motion);
  return { ...motion, change: meanDifference(before.levels[0]!, after.levels[0]!) };
}

type Shift = Pick<BackgroundMotion, "x" | "y" | "zoom">;

const NUM_ROUNDS = 4;

/**
 * Gauss-Newton on the squared difference of the two backgrounds (Lucas and Kanade 1981) with shift and zoom as unknowns,
 * and a factor of brightness: lights that go up or down are no motion. From the second round on, pixels that fit much
 * worse than the others count less (iteratively reweighted, Cauchy's weights): what moves by itself, such as shadows and
 * hair, is not the camera's motion.
 */
function refine(before: Level, after: Level, start: Shift): Shift {
  const { width, height } = before;
  const long = Math.max(width, height);
  let { x, y, zoom } = start;
  let last: Fit | null = null;
  for (let round = 0; round < NUM_ROUNDS; round++) {
    const fit: Fit = new Fit(last);
    for (let row = 1; row < height - 1; row++) {
      for (let column = 1; column < width - 1; column++) {
        const i = row * width + column;
        if (before.background[i] === 0) continue;
        const [u, v] = [(column + 0.5 - width / 2) / long, (row + 0.5 - height / 2) / long];
        const [atX, atY] = [column + (x + zoom * u) * long, row + (y + zoom * v) * long];
        const [left, top] = [Math.floor(atX), Math.floor(atY)];
        if (left < 0 || top < 0 || left + 1 >= width || top + 1 >= height) continue;
        const j = top * width + left;
        if (after.background[j] === 0 || after.background[j + width + 1] === 0) continue;
        const gx = ((before.luma[i + 1]! - before.luma[i - 1]!) / 2) * long;
        const gy = ((before.luma[i + width]! - before.luma[i - width]!) / 2) * long;
        const brightness = sampleAt(after, j, atX - left, atY - top);
        fit.add(gx, gy, gx * u + gy * v, before.luma[i]!, brightness);
      }
    }
    if (fit.numPixels < LEAST_BACKGROUND * width * height) return start;
    const [dx, dy, dz] = fit.step();
    const limited = (value: number): number => Math.min(MAX_STEP, Math.max(-MAX_STEP, value));
    [x, y, zoom] = [x + limited(dx), y + limited(dy), zoom + limited(dz)];
    last = fit;
  }
  return { x, y, zoom };
}

/** Sums over the pixels of one round. */
class Fit {
  numPixels = 0;
  /** Of gradients by x, y and zoom. */
  private xx = 0;
  private xy = 0;
  private xz = 0;
  private yy = 0;
  private yz = 0;
  private zz = 0;
  /** Of gradients with what is missing. */
  private rx = 0;
  private ry = 0;
  private rz = 0;
  /** Of brightness with gradients, with what is missing, and with itself. */
  private bx = 0;
  private by = 0;
  private bz = 0;
  private br = 0;
  private bb = 0;
  private rr = 0;
  private weights = 0;
  private readonly gain: number;
  /** Differences of this size count half; without a round before, all count alike. */
  private readonly tolerance: number;

  constructor(before: Fit | null) {
    this.gain = before ? before.br / Math.max(before.bb, 1e-9) : 0;
    this.tolerance = before ? Math.max(LEAST_TOLERANCE, 1.5 * before.deviation()) : Infinity;
  }

  add(gx: number, gy: number, gz: number, wanted: number, brightness: number): void {
    const difference = wanted - brightness;
    const misfit = (difference - this.gain * brightness) / this.tolerance;
    const weight = 1 / (1 + misfit * misfit);
    const [wx, wy, wz, wb] = [weight * gx, weight * gy, weight * gz, weight * brightness];
    this.xx += wx * gx;
    this.xy += wx * gy;
    this.xz += wx * gz;
    this.yy += wy * gy;
    this.yz += wy * gz;
    this.zz += wz * gz;
    this.rx += wx * difference;
    this.ry += wy * difference;
    this.rz += wz * difference;
    this.bx += wb * gx;
    this.by += wb * gy;
    this.bz += wb * gz;
    this.br += wb * difference;
    this.bb += wb * brightness;
    this.rr += weight * difference * difference;
    this.weights += weight;
    this.numPixels++;
  }

  /** The step of x, y and zoom, the factor of brightness eliminated. A little damping keeps plain walls at rest. */
  step(): [number, number, number] {
    const damping = this.weights * DAMPING;
    const { bx, by, bz, br } = this;
    const [fx, fy, fz] = [bx, by, bz].map((sum) => sum / Math.max(this.bb, 1e-9)) as [number, number, number];
    return solve(
      this.xx - bx * fx + damping,
      this.xy - bx * fy,
      this.xz - bx * fz,
      this.yy - by * fy + damping,
      this.yz - by * fz,
      this.zz - bz * fz + damping,
      this.rx - br * fx,
      this.ry - br * fy,
      this.rz - br * fz,
    );
  }

  /** RMS of what neither this round's motion nor the factor of brightness explains. */
  private deviation(): number {
    const unexplained = this.rr - (this.br * this.br) / Math.max(this.bb, 1e-9);
    return Math.sqrt(Math.max(0, unexplained) / Math.max(this.weights, 1e-9));
  }
}

/** Coding and rounding make differences of about this much, of 1. */
const LEAST_TOLERANCE = 0.01;

/** Against mean squared gradients per longer side: those of a picture with edges are 1 and more. */
const DAMPING = 0.05;

/** Linear models hold for small steps only. */
const MAX_STEP = 0.05;

function sampleAt({ luma, width }: Level, j: number, fx: number, fy: number): number {
  const upper = luma[j]! + (luma[j + 1]! - luma[j]!) * fx;
  const lower = luma[j + width]! + (luma[j + width + 1]! - luma[j + width]!) * fx;
  return upper + (lower - upper) * fy;
}

/** Cramer's rule for a symmetric matrix made regular by damping. */
function solve(
  a: number,
  b: number,
  c: number,
  d: number,
  e: number,
  f: number,
  r: number,
  s: number,
  t: number,
): [number, number, number] {
  const [m0, m1, m2] = [d * f - e * e, c * e - b * f, b * e - c * d];
  const determinant = a * m0 + b * m1 + c * m2;
  return [
    (r * m0 + s * m1 + t * m2) / determinant,
    (r * m1 + s * (a * f - c * c) + t * (b * c - a * e)) / determinant,
    (r * m2 + s * (b * c - a * e) + t * (a * d - b * b)) / determinant,
  ];
}

/** Where both show the background; 0 where that is nowhere. */
function meanDifference(before: Level, after: Level): number {
  let [sum, count] = [0, 0];
  before.luma.forEach((value, i) => {
    if (before.background[i] === 0 || after.background[i] === 0) return;
    sum += Math.abs(value - after.luma[i]!);
    count++;
  });
  return count >= LEAST_BACKGROUND * before.luma.length ? sum / count : 0;
}
