/** From the output of person detectors to boxes, in pixels of their input from its upper left corner. */
import { YOLOX_STRIDES } from "./signature.ts";

export interface PersonBox {
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
  /** Confidence 0..1. */
  readonly score: number;
}

/** Least score of a person. */
const MIN_SCORE = 0.3;
/** Of two boxes that overlap by more than this share of their union, the better one stays. */
const MAX_OVERLAP = 0.45;
/** Class of persons in COCO, and in detectors of persons alone. */
const PERSON = 0;

/**
 * Boxes of a YOLOX head (arXiv 2107.08430): for each cell of three grids the box's middle from the cell's corner and the
 * logarithm of its sides, both in strides, then how sure it is of any thing, and of each class.
 * @param rows [cells, rowLength], the last two with their sigmoid applied, as exports have it
 */
export function decodeYolox(
  rows: Float32Array,
  rowLength: number,
  input: { readonly width: number; readonly height: number },
): PersonBox[] {
  const found: PersonBox[] = [];
  let at = 0;
  for (const stride of YOLOX_STRIDES) {
    const columns = Math.floor(input.width / stride);
    const numCells = columns * Math.floor(input.height / stride);
    for (let cell = 0; cell < numCells; cell++, at += rowLength) {
      const score = rows[at + 4]! * rows[at + 5 + PERSON]!;
      if (!(score >= MIN_SCORE)) continue;
      const x = (rows[at]! + (cell % columns)) * stride;
      const y = (rows[at + 1]! + Math.floor(cell / columns)) * stride;
      const [halfWidth, halfHeight] = [
        (Math.exp(rows[at + 2]!) * stride) / 2,
        (Math.exp(rows[at + 3]!) * stride) / 2,
      ];
      found.push({
        left: x - halfWidth,
        top: y - halfHeight,
        right: x + halfWidth,
        bottom: y + halfHeight,
        score,
      });
    }
  }
  return withoutRepeats(found);
}

/**
 * Finished boxes, as MMDeploy's exports give them.
 * @param rows [boxes, 5]: left, top, right, bottom, score
 * @param labels [boxes]
 */
export function decodeBoxes(rows: Float32Array, labels: ArrayLike<number | bigint>): PersonBox[] {
  const found: PersonBox[] = [];
  for (let i = 0; i < rows.length / 5; i++) {
    const [left, top, right, bottom, score] = rows.subarray(5 * i, 5 * i + 5);
    if (score! >= MIN_SCORE && Number(labels[i]) === PERSON) {
      found.push({ left: left!, top: top!, right: right!, bottom: bottom!, score: score! });
    }
  }
  return withoutRepeats(found);
}

/** The better of boxes that overlap, best first; boxes without extent are dropped. */
function withoutRepeats(boxes: readonly PersonBox[]): PersonBox[] {
  const kept: PersonBox[] = [];
  for (const box of boxes.toSorted((a, b) => b.score - a.score)) {
    if (area(box) > 0 && kept.every((better) => overlap(better, box) <= MAX_OVERLAP)) kept.push(box);
  }
  return kept;
}

const area = ({ left, top, right, bottom }: PersonBox): number =>
  right > left && bottom > top ? (right - left) * (bottom - top) : 0;

/** Intersection over union. */
function overlap(a: PersonBox, b: PersonBox): number {
  const width = Math.min(a.right, b.right) - Math.max(a.left, b.left);
  const height = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
  if (width <= 0 || height <= 0) return 0;
  return (width * height) / (area(a) + area(b) - width * height);
}
