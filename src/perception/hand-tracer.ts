import type { Point3 } from "./body-landmarks.ts";
import { HandField, MELT_REACH, type Piece, handPieces, palmLength } from "./hand-field.ts";

/** Side of the squares of samples that share their pieces and the empty space in front of them. */
const TILE = 8;
const MAX_STEPS = 40;
/** Rays end this near to the surface, in palm lengths. */
const TOLERANCE = 0.005;
/** The tapered pieces overstate distances a little: steps are shortened by this factor. */
const STEP = 0.95;

interface Box {
  readonly left: number;
  readonly top: number;
  /** Behind the last column and row. */
  readonly right: number;
  readonly bottom: number;
}

/** A piece and the space it can reach, melting included. */
interface Bounded extends Box {
  readonly piece: Piece;
  readonly near: number;
  readonly far: number;
}

/** Depth and normal of a hand's surface at every sample of a grid, seen from the front without perspective. */
export class HandTracer {
  /** Part of the grid that the hand may cover. */
  readonly box: Box;
  /** Per sample of the box: depth of the surface, Infinity beside the hand. */
  readonly depth: Float32Array;
  /** Per sample of the box: x right, y up, z to the viewer. */
  readonly normals: Float32Array;
  private readonly field: HandField;
  private readonly tolerance: number;

  constructor(points: readonly Point3[], grid: { readonly width: number; readonly height: number }) {
    const unit = palmLength(points);
    this.field = new HandField(unit);
    this.tolerance = TOLERANCE * unit;
    const pieces = handPieces(points).map((piece) => bounded(piece, unit));
    this.box = {
      left: Math.max(0, Math.floor(Math.min(...pieces.map((piece) => piece.left)))),
      top: Math.max(0, Math.floor(Math.min(...pieces.map((piece) => piece.top)))),
      right: Math.min(grid.width, Math.ceil(Math.max(...pieces.map((piece) => piece.right)))),
      bottom: Math.min(grid.height, Math.ceil(Math.max(...pieces.map((piece) => piece.bottom)))),
    };
    const { left, top, right, bottom } = this.box;
    const size = Math.max(0, right - left) * Math.max(0, bottom - top);
    this.depth = new Float32Array(size).fill(Infinity);
    this.normals = new Float32Array(3 * size);
    for (let y = top; y < bottom; y += TILE) {
      for (let x = left; x < right; x += TILE) {
        this.traceTile(pieces, {
          left: x,
          top: y,
          right: Math.min(right, x + TILE),
          bottom: Math.min(bottom, y + TILE),
        });
      }
    }
  }

  /** Position of a sample of the grid in `depth`, -1 outside the box. */
  indexOf(x: number, y: number): number {
    const { left, top, right, bottom } = this.box;
    return x >= left && x < right && y >= top && y < bottom ? (y - top) * (right - left) + x - left : -1;
  }

  private traceTile(all: readonly Bounded[], tile: Box): void {
    const near = all.filter(
      (piece) =>
        piece.left < tile.right &&
        piece.right > tile.left &&
        piece.top < tile.bottom &&
        piece.bottom > tile.top,
    );
    if (near.length === 0) return;
    const pieces = near.map(({ piece }) => piece);
    const far = Math.max(...near.map((piece) => piece.far));
    // March a cylinder around the tile: nothing lies before the depth at which it first touches the hand.
    const radius = Math.hypot(tile.right - tile.left, tile.bottom - tile.top) / 2;
    const [centerX, centerY] = [(tile.left + tile.right) / 2, (tile.top + tile.bottom) / 2];
    const start = this.march(
      pieces,
      centerX,
      centerY,
      Math.min(...near.map((piece) => piece.near)),
      far,
      radius,
    );
    if (start === Infinity) return;
    for (let y = tile.top; y < tile.bottom; y++) {
      for (let x = tile.left; x < tile.right; x++) this.traceRay(pieces, x, y, start, far);
    }
  }

  private traceRay(pieces: readonly Piece[], x: number, y: number, start: number, far: number): void {
    const z = this.march(pieces, x + 0.5, y + 0.5, start, far, 0);
    if (z === Infinity) return;
    const { gradientX, gradientY, gradientZ } = this.field;
    const scale = 1 / Math.max(1e-6, Math.hypot(gradientX, gradientY, gradientZ));
    const at = this.indexOf(x, y);
    this.depth[at] = z;
    this.normals[3 * at] = gradientX * scale;
    this.normals[3 * at + 1] = -gradientY * scale;
    this.normals[3 * at + 2] = -gradientZ * scale;
  }

  /** Depth at which a ray of the given radius first touches the pieces, or Infinity; the field is left there. */
  private march(
    pieces: readonly Piece[],
    x: number,
    y: number,
    start: number,
    far: number,
    radius: number,
  ): number {
    let z = start;
    for (let i = 0; i < MAX_STEPS && z < far; i++) {
      this.field.at(pieces, x, y, z);
      const free = this.field.distance - radius;
      if (free < this.tolerance) return z;
      z += free * STEP;
    }
    return Infinity;
  }
}

function bounded(piece: Piece, unit: number): Bounded {
  const reach = (axis: "x" | "y" | "z", sign: 1 | -1): number =>
    sign *
    Math.max(...piece.corners.map((corner, i) => sign * corner[axis] + piece.radii[i]! + MELT_REACH * unit));
  return {
    piece,
    left: reach("x", -1),
    right: reach("x", 1),
    top: reach("y", -1),
    bottom: reach("y", 1),
    near: reach("z", -1),
    far: reach("z", 1),
  };
}
