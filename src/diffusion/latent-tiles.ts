import { UserError } from "../tensor/errors.ts";

/** Size and stride of tiles in latent rows and columns. */
export interface Tiling {
  readonly size: readonly [rows: number, columns: number];
  readonly stride: readonly [rows: number, columns: number];
}

/** The published pipeline's tiles: 34 x 34 latent pixels, every 18 x 16. */
export const PUBLISHED_TILING: Tiling = { size: [34, 34], stride: [18, 16] };

/** A rectangle in latent rows and columns; ends are exclusive. */
export interface Tile {
  readonly top: number;
  readonly bottom: number;
  readonly left: number;
  readonly right: number;
}

/** How a picture is cut. */
export interface TilePlan {
  readonly tiles: readonly Tile[];
  /** Latent rows and columns over which a tile fades into its neighbours; see `tileWeights`. */
  readonly border: readonly [rows: number, columns: number];
}

/** Cuts height x width latent pixels. */
export type PlanTiles = (height: number, width: number) => TilePlan;

/**
 * The published layout: overlapping tiles that cover height x width. They start at multiples of the stride, are cut
 * at the border, and none starts where the one before it already reaches the border.
 */
export function planTiles(height: number, width: number, { size, stride }: Tiling): TilePlan {
  if (![0, 1].every((axis) => stride[axis]! >= 1 && stride[axis]! <= size[axis]!)) {
    throw new UserError(
      `tiles of ${size.join("x")} every ${stride.join("x")} latent pixels would leave gaps; ` +
        `the stride must be between 1 and the size`,
    );
  }
  const tiles = combine(spans(height, size[0], stride[0]), spans(width, size[1], stride[1]));
  return { tiles, border: [size[0] - stride[0], size[1] - stride[1]] };
}

/**
 * As many tiles as in the published layout, but all of one size and spread evenly: tiles of one size need one set of
 * graphs. They overlap at least as much as there. A picture that is not larger than a tile is a single one.
 */
export function planEqualTiles(
  height: number,
  width: number,
  { size, stride }: Tiling = PUBLISHED_TILING,
): TilePlan {
  const rows = equalSpans(height, size[0], stride[0]);
  const columns = equalSpans(width, size[1], stride[1]);
  return { tiles: combine(rows, columns), border: [leastOverlap(rows), leastOverlap(columns)] };
}

type Span = readonly [start: number, end: number];

function combine(rows: readonly Span[], columns: readonly Span[]): Tile[] {
  return rows.flatMap(([top, bottom]) => columns.map(([left, right]) => ({ top, bottom, left, right })));
}

function equalSpans(length: number, size: number, stride: number): Span[] {
  const last = Math.max(0, length - size);
  const numSteps = Math.ceil(last / stride);
  return Array.from({ length: numSteps + 1 }, (_, i) => {
    const start = numSteps === 0 ? 0 : Math.round((i * last) / numSteps);
    return [start, Math.min(length, start + size)];
  });
}

function leastOverlap(spansOfAxis: readonly Span[]): number {
  const overlaps = spansOfAxis.slice(1).map(([start], i) => spansOfAxis[i]![1] - start);
  return Math.min(...overlaps, spansOfAxis[0]![1]);
}

function spans(length: number, size: number, stride: number): Span[] {
  const list: Span[] = [];
  for (let start = 0; start < length; start += stride) {
    if (start > 0 && start - stride + size >= length) break;
    list.push([start, Math.min(length, start + size)]);
  }
  return list;
}

/**
 * Weights of a tile's pixels when tiles are blended, [height, width] row-major: the lesser of a ramp over rows and one
 * over columns, each rising from 1/border to 1 inside the picture and constant at its edge. `border` counts pixels.
 */
export function tileWeights(
  height: number,
  width: number,
  atEdge: {
    readonly top: boolean;
    readonly bottom: boolean;
    readonly left: boolean;
    readonly right: boolean;
  },
  border: readonly [rows: number, columns: number],
): Float32Array {
  const rows = ramp(height, border[0], atEdge.top, atEdge.bottom);
  const columns = ramp(width, border[1], atEdge.left, atEdge.right);
  return Float32Array.from({ length: height * width }, (_, i) =>
    Math.min(rows[Math.floor(i / width)]!, columns[i % width]!),
  );
}

function ramp(length: number, border: number, flatStart: boolean, flatEnd: boolean): Float32Array {
  const values = new Float32Array(length).fill(1);
  for (let i = 0; i < Math.min(border, length); i++) {
    const height = (i + 1) / border;
    if (!flatStart) values[i] = height;
    if (!flatEnd) values[length - 1 - i] = height;
  }
  return values;
}

/** Sums weighted tiles [C, T, h, w] and divides by the sum of weights. */
export class TileBlend {
  private readonly values: Float32Array;
  private readonly total: Float32Array;

  /** @param planes number of pictures, channels times frames */
  constructor(
    private readonly planes: number,
    private readonly height: number,
    private readonly width: number,
  ) {
    this.values = new Float32Array(planes * height * width);
    this.total = new Float32Array(height * width);
  }

  /** Adds a tile's pixels [planes, h, w] with weights [h, w]; the tile is given in the blend's pixels. */
  add({ top, bottom, left, right }: Tile, pixels: Float32Array, weights: Float32Array): void {
    const [height, width] = [bottom - top, right - left];
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const to = (top + y) * this.width + left + x;
        const weight = weights[y * width + x]!;
        this.total[to]! += weight;
        for (let p = 0; p < this.planes; p++) {
          this.values[p * this.height * this.width + to]! += weight * pixels[(p * height + y) * width + x]!;
        }
      }
    }
  }

  /** The blended pictures. Nothing can be added any more. */
  finish(): Float32Array {
    const area = this.height * this.width;
    // In place: a second copy of a long video would take gigabytes.
    for (let i = 0; i < this.values.length; i++) this.values[i]! /= this.total[i % area]!;
    return this.values;
  }
}
