import { UserError } from "../tensor/errors.ts";
import { blit } from "./draw.ts";
import { writeImage } from "./image.ts";
import { drawText, LETTER_ADVANCE, textSize } from "./label.ts";
import { createImage, type Image, type Rgb } from "./pixels.ts";
import type { PoseKeypoints } from "./pose-keypoints.ts";
import { resize } from "./resize.ts";
import { drawSkeleton, type SkeletonOptions } from "./skeleton.ts";

/** A picture with a line of text under it. */
export interface LabelledImage {
  readonly image: Image;
  readonly label: string;
}

/** How a contact sheet is laid out. */
export interface ContactSheetOptions {
  /** Pictures in a row (default: as many as make the sheet about square). */
  readonly numColumns?: number;
  /** Every picture is scaled to this height in pixels (default: that of the first). */
  readonly cellHeight?: number;
}

const GAP = 8;
const LABEL_HEIGHT = 16;
const PAPER: Rgb = [24, 24, 27];
const INK: Rgb = [228, 228, 231];

/** Pictures side by side in rows, each with its label. Throws UserError when there are none. */
export function contactSheet(cells: readonly LabelledImage[], options: ContactSheetOptions = {}): Image {
  const [first] = cells;
  if (!first) throw new UserError("a contact sheet needs at least one picture");
  const { numColumns = Math.ceil(Math.sqrt(cells.length)), cellHeight = first.image.height } = options;
  const pictures = cells.map(({ image }) =>
    resize(image, Math.max(1, Math.round((image.width * cellHeight) / image.height)), cellHeight),
  );
  const cellWidth = Math.max(...pictures.map(({ width }) => width));
  const numRows = Math.ceil(cells.length / numColumns);
  const [stepX, stepY] = [cellWidth + GAP, cellHeight + LABEL_HEIGHT + GAP];
  const sheet = createImage(numColumns * stepX + GAP, numRows * stepY + GAP, PAPER);
  for (const [i, picture] of pictures.entries()) {
    const left = GAP + (i % numColumns) * stepX;
    const top = GAP + Math.floor(i / numColumns) * stepY;
    blit(sheet, picture, left + Math.floor((cellWidth - picture.width) / 2), top);
    // Labels wider than their cell are cut.
    const label = cells[i]!.label.slice(0, Math.floor((cellWidth + 1) / LETTER_ADVANCE));
    const { width, height } = textSize(label);
    const [textLeft, textTop] = [
      left + (cellWidth - width) / 2,
      top + cellHeight + (LABEL_HEIGHT - height) / 2,
    ];
    drawText(sheet, label, Math.floor(textLeft), Math.floor(textTop), INK);
  }
  return sheet;
}

/** `contactSheet` as a PNG file, complete or not at all. */
export async function writeContactSheet(
  path: string,
  cells: readonly LabelledImage[],
  options?: ContactSheetOptions,
): Promise<void> {
  await writeImage(path, contactSheet(cells, options));
}

/** A copy of a frame with a skeleton drawn over it. */
export function overlaySkeleton(frame: Image, pose: PoseKeypoints, options?: SkeletonOptions): Image {
  const copy = { ...frame, data: Uint8Array.from(frame.data) };
  drawSkeleton(copy, pose, options);
  return copy;
}
