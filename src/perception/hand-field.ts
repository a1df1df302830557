import type { Point3 } from "./body-landmarks.ts";

/** A convex piece of the hand: all points within a radius of a segment (2 corners) or a triangle (3 corners). */
export interface Piece {
  readonly corners: readonly [Point3, Point3] | readonly [Point3, Point3, Point3];
  /** Radius at each corner; between them it changes linearly. */
  readonly radii: readonly number[];
  readonly group: "finger" | "palm";
}

/**
 * Radii at the joints relative to the palm's length (wrist to middle knuckle), in the order of `HAND_POINTS`; then
 * that of the heel.
 */
const RADII = [
  0.17, 0.16, 0.135, 0.12, 0.095, 0.13, 0.108, 0.098, 0.08, 0.13, 0.11, 0.1, 0.082, 0.125, 0.105, 0.096,
  0.078, 0.115, 0.092, 0.084, 0.07, 0.15,
];

const FINGER_BONES = [1, 5, 9, 13, 17].flatMap((knuckle) =>
  [0, 1, 2].map((i) => [knuckle + i, knuckle + i + 1] as const),
);
/** The heel of the hand, below the little finger: the landmarks leave it out, and a palm would end in a point. */
const HEEL = 21;
/** Slabs between the wrist, the knuckles, the heel and the base of the thumb. */
const PALM_SLABS = [
  [0, 5, 9],
  [0, 9, 13],
  [0, 13, HEEL],
  [HEEL, 13, 17],
  [0, 1, 5],
  [1, 2, 5],
] as const;

/** Widths over which pieces melt into each other, relative to the palm's length. */
const MELT = { finger: 0.03, palm: 0.05, joint: 0.08 };
/** How far melting can lift the surface off a piece, in palm lengths: a quarter of each width that it goes through. */
export const MELT_REACH = 0.04;

/** Distance from the wrist to the middle knuckle, the unit of a hand's thickness. */
export function palmLength(points: readonly Point3[]): number {
  const [wrist, knuckle] = [points[0]!, points[9]!];
  return Math.hypot(knuckle.x - wrist.x, knuckle.y - wrist.y, knuckle.z - wrist.z);
}

/** The pieces of a hand with these 21 joints. */
export function handPieces(points: readonly Point3[]): Piece[] {
  const unit = palmLength(points);
  const all = [...points, heelOf(points)];
  const piece = (joints: readonly number[], group: Piece["group"]): Piece => ({
    corners: joints.map((joint) => all[joint]!) as unknown as Piece["corners"],
    radii: joints.map((joint) => RADII[joint]! * unit),
    group,
  });
  return [
    ...FINGER_BONES.map((joints) => piece(joints, "finger")),
    ...PALM_SLABS.map((joints) => piece(joints, "palm")),
  ];
}

/** Beside the wrist, as far as half the way from the middle to the little finger's knuckle, and a little up. */
function heelOf(points: readonly Point3[]): Point3 {
  const [wrist, middle, little] = [points[0]!, points[9]!, points[17]!];
  const along = (axis: "x" | "y" | "z"): number =>
    wrist[axis] + 0.5 * (little[axis] - middle[axis]) + 0.15 * (middle[axis] - wrist[axis]);
  return { x: along("x"), y: along("y"), z: along("z") };
}

/**
 * Signed distance to a hand's surface and its direction of steepest growth: the smooth union of pieces. `at` leaves
 * its results in the fields, where the next call overwrites them, because a picture asks a hundred thousand times.
 */
export class HandField {
  distance = 0;
  /** Gradient of the distance, of length about 1. */
  gradientX = 0;
  gradientY = 0;
  gradientZ = 0;
  /** Weights of a piece's second and third corner in its point nearest to the one asked for. */
  private second = 0;
  private third = 0;

  /** @param unit length of the palm */
  constructor(private readonly unit: number) {}

  /** Evaluates the union of some pieces of a hand, fingers before palm, at (x, y, z). */
  at(pieces: readonly Piece[], x: number, y: number, z: number): void {
    this.distance = Infinity;
    let inPalm = false;
    let fingerDistance = Infinity;
    let fingerX = 0;
    let fingerY = 0;
    let fingerZ = 0;
    for (const piece of pieces) {
      if (piece.group === "palm" && !inPalm) {
        inPalm = true;
        fingerDistance = this.distance;
        fingerX = this.gradientX;
        fingerY = this.gradientY;
        fingerZ = this.gradientZ;
        this.distance = Infinity;
      }
      this.addPiece(piece, x, y, z);
    }
    if (inPalm) this.melt(fingerDistance, fingerX, fingerY, fingerZ, MELT.joint * this.unit);
  }

  private addPiece({ corners, radii, group }: Piece, x: number, y: number, z: number): void {
    const [a, b, c] = corners;
    if (c) this.nearestOnTriangle(a, b, c, x, y, z);
    else this.nearestOnSegment(a, b, x, y, z);
    const v = this.second;
    const w = this.third;
    const u = 1 - v - w;
    let dx = x - u * a.x - v * b.x;
    let dy = y - u * a.y - v * b.y;
    let dz = z - u * a.z - v * b.z;
    let radius = u * radii[0]! + v * radii[1]!;
    if (c) {
      dx -= w * c.x;
      dy -= w * c.y;
      dz -= w * c.z;
      radius += w * radii[2]!;
    }
    const length = Math.sqrt(dx * dx + dy * dy + dz * dz);
    const scale = length > 0 ? 1 / length : 0;
    this.melt(length - radius, dx * scale, dy * scale, dz * scale, MELT[group] * this.unit);
  }

  /** Polynomial smooth minimum of the field so far and another one, over the width k. */
  private melt(distance: number, gx: number, gy: number, gz: number, k: number): void {
    const gap = distance - this.distance;
    const h = Math.max(0, 1 - Math.abs(gap) / k);
    // Share of the other field in the gradient: a half where both are equal.
    const share = gap < 0 ? 1 - h / 2 : h / 2;
    this.distance = Math.min(this.distance, distance) - (h * h * k) / 4;
    this.gradientX += share * (gx - this.gradientX);
    this.gradientY += share * (gy - this.gradientY);
    this.gradientZ += share * (gz - this.gradientZ);
  }

  private nearestOnSegment(a: Point3, b: Point3, x: number, y: number, z: number): void {
    const dx = b.x - a.x;
    const dy = b.y - a.y;
    const dz = b.z - a.z;
    const squared = dx * dx + dy * dy + dz * dz;
    const t = squared > 0 ? ((x - a.x) * dx + (y - a.y) * dy + (z - a.z) * dz) / squared : 0;
    this.second = Math.min(1, Math.max(0, t));
    this.third = 0;
  }

  /** Goes through the Voronoi regions of the triangle: its corners, its edges, its inside. */
  private nearestOnTriangle(a: Point3, b: Point3, c: Point3, x: number, y: number, z: number): void {
    const abx = b.x - a.x;
    const aby = b.y - a.y;
    const abz = b.z - a.z;
    const acx = c.x - a.x;
    const acy = c.y - a.y;
    const acz = c.z - a.z;
    const d1 = abx * (x - a.x) + aby * (y - a.y) + abz * (z - a.z);
    const d2 = acx * (x - a.x) + acy * (y - a.y) + acz * (z - a.z);
    if (d1 <= 0 && d2 <= 0) return this.nearest(0, 0);
    const d3 = abx * (x - b.x) + aby * (y - b.y) + abz * (z - b.z);
    const d4 = acx * (x - b.x) + acy * (y - b.y) + acz * (z - b.z);
    if (d3 >= 0 && d4 <= d3) return this.nearest(1, 0);
    const overC = d1 * d4 - d3 * d2;
    if (overC <= 0 && d1 >= 0 && d3 <= 0) return this.nearest(d1 / (d1 - d3), 0);
    const d5 = abx * (x - c.x) + aby * (y - c.y) + abz * (z - c.z);
    const d6 = acx * (x - c.x) + acy * (y - c.y) + acz * (z - c.z);
    if (d6 >= 0 && d5 <= d6) return this.nearest(0, 1);
    const overB = d5 * d2 - d1 * d6;
    if (overB <= 0 && d2 >= 0 && d6 <= 0) return this.nearest(0, d2 / (d2 - d6));
    const overA = d3 * d6 - d5 * d4;
    if (overA <= 0 && d4 >= d3 && d5 >= d6) {
      const t = (d4 - d3) / (d4 - d3 + d5 - d6);
      return this.nearest(1 - t, t);
    }
    const total = overA + overB + overC;
    return this.nearest(overB / total, overC / total);
  }

  private nearest(second: number, third: number): void {
    this.second = second;
    this.third = third;
  }
}
