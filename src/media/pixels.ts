import { UserError, invariant } from "../tensor/errors.ts";

/** One picture: 8-bit RGB, rows from the top, `data.length === width * height * 3`. A frame of a video is an Image. */
export interface Image {
  readonly width: number;
  readonly height: number;
  readonly channels: 3;
  readonly data: Uint8Array;
}

/** Red, green, blue in 0..255. */
export type Rgb = readonly [number, number, number];

const isSize = (n: number) => Number.isInteger(n) && n > 0;

/** A new picture filled with one colour (black unless told). */
export function createImage(width: number, height: number, color: Rgb = [0, 0, 0]): Image {
  if (!isSize(width) || !isSize(height)) {
    throw new UserError(`an image needs a width and height of at least 1 pixel, got ${width}x${height}`);
  }
  const data = new Uint8Array(width * height * 3);
  if (color.some((c) => c !== 0)) {
    for (let i = 0; i < data.length; i += 3) data.set(color, i);
  }
  return { width, height, channels: 3, data };
}

/** Wraps RGB bytes without copying them. */
export function imageFromBytes(width: number, height: number, data: Uint8Array): Image {
  invariant(
    data.length === width * height * 3,
    `${data.length} bytes do not make a ${width}x${height} RGB image`,
  );
  return { width, height, channels: 3, data };
}

/** A copy with red and blue exchanged (RGB to BGR and back). */
export function swapRedBlue(image: Image): Image {
  const data = Uint8Array.from(image.data);
  for (let i = 0; i < data.length; i += 3) {
    data[i] = image.data[i + 2]!;
    data[i + 2] = image.data[i]!;
  }
  return { ...image, data };
}
