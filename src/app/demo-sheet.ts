/** The demo on one picture. */
import { createImage, type Image } from "../media/pixels.ts";
import { centerCropResize, resize } from "../media/resize.ts";

/** One frame of the result with what it was made from. */
export interface DemoMoment {
  readonly skeleton: Image;
  readonly handNormals: Image;
  readonly result: Image;
}

const CELL_HEIGHT = 256;
const GAP = 6;

/** The reference on the left, then a column per moment: skeleton, hand normals, result. */
export function composeSheet(reference: Image, moments: readonly DemoMoment[]): Image {
  const rows = [
    moments.map(({ skeleton }) => skeleton),
    moments.map(({ handNormals }) => handNormals),
    moments.map(({ result }) => result),
  ];
  const { width, height } = moments[0]!.result;
  const cellWidth = Math.round((CELL_HEIGHT * width) / height);
  const sheetHeight = rows.length * (CELL_HEIGHT + GAP) - GAP;
  const referenceWidth = Math.round((sheetHeight * width) / height);
  const sheetWidth = referenceWidth + moments.length * (cellWidth + GAP);
  const sheet = createImage(sheetWidth, sheetHeight, [255, 255, 255]);
  paste(sheet, centerCropResize(reference, referenceWidth, sheetHeight), 0, 0);
  rows.forEach((row, r) => {
    row.forEach((image, c) => {
      const left = referenceWidth + GAP + c * (cellWidth + GAP);
      paste(sheet, resize(image, cellWidth, CELL_HEIGHT), left, r * (CELL_HEIGHT + GAP));
    });
  });
  return sheet;
}

/** Copies a picture that lies wholly inside `onto`. */
function paste(onto: Image, image: Image, left: number, top: number): void {
  for (let y = 0; y < image.height; y++) {
    const row = image.data.subarray(y * image.width * 3, (y + 1) * image.width * 3);
    onto.data.set(row, ((top + y) * onto.width + left) * 3);
  }
}
