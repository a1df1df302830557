import { type Point, type Region, fromRegion } from "./region.ts";

/** Grid of a single-shot detector: `perCell` anchors at the centre of each of side x side cells. */
export interface AnchorGrid {
  readonly side: number;
  readonly perCell: number;
}

/** Something found, in picture pixels. */
export interface Detection {
  /** Confidence 0..1. */
  readonly score: number;
  /** Sides of its box. */
  readonly width: number;
  readonly height: number;
  readonly center: Point;
  /** Points that the detector is trained to give, such as the wrist. */
  readonly keypoints: readonly Point[];
}

export interface DetectorLayout {
  /** Side of the network's input in pixels. */
  readonly resolution: number;
  /** In the order of the network's rows. */
  readonly grids: readonly AnchorGrid[];
}

/** Boxes that overlap by more than this share of their union are the same thing found twice. */
const SAME_BOX = 0.3;

/**
 * Reads the raw output of a detector that looked at `region`, best first.
 * @param rows [anchors, 4 + 2 · keypoints]: offset from the anchor, size and points, in input pixels
 * @param logits one per anchor
 * @param threshold least score, 0..1
 */
export function readDetections(
  rows: Float32Array,
  logits: Float32Array,
  { resolution, grids }: DetectorLayout,
  region: Region,
  threshold: number,
): Detection[] {
  const width = rows.length / logits.length;
  const found: Detection[] = [];
  let anchor = 0;
  for (const { side, perCell } of grids) {
    for (let cell = 0; cell < side * side; cell++) {
      const u = ((cell % side) + 0.5) / side;
      const v = (Math.floor(cell / side) + 0.5) / side;
      for (let k = 0; k < perCell; k++, anchor++) {
        const score = sigmoid(logits[anchor]!);
        if (score < threshold) continue;
        const row = rows.subarray(anchor * width, (anchor + 1) * width);
        const point = (at: number): Point =>
          fromRegion(region, u + row[at]! / resolution, v + row[at + 1]! / resolution);
        found.push({
          score,
          center: point(0),
          width: (row[2]! / resolution) * region.size,
          height: (row[3]! / resolution) * region.size,
          keypoints: Array.from({ length: (width - 4) / 2 }, (_, i) => point(4 + 2 * i)),
        });
      }
    }
  }
  return withoutRepeats(found.toSorted((a, b) => b.score - a.score));
}

/** Keeps each box that no better one overlaps. */
function withoutRepeats(bestFirst: readonly Detection[]): Detection[] {
  const kept: Detection[] = [];
  for (const candidate of bestFirst) {
    if (kept.every((better) => overlap(better, candidate) <= SAME_BOX)) kept.push(candidate);
  }
  return kept;
}

/** Intersection over union of the boxes; those of one turned region count as if upright. */
function overlap(a: Detection, b: Detection): number {
  const across = span(a.center.x, a.width, b.center.x, b.width);
  const down = span(a.center.y, a.height, b.center.y, b.height);
  const both = across * down;
  return both / (a.width * a.height + b.width * b.height - both);
}

function span(a: number, aSize: number, b: number, bSize: number): number {
  return Math.max(0, Math.min(a + aSize / 2, b + bSize / 2) - Math.max(a - aSize / 2, b - bSize / 2));
}

export function sigmoid(logit: number): number {
  return 1 / (1 + Math.exp(-logit));
}
