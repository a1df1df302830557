/** Pieces of a picture as the networks of MMPose, Sapiens and MMDetection were trained to see them. */
import { type ChannelScale, type ImagePyramid, type Point, type SampleGrid, sampleGrid } from "../region.ts";

/** An upright box in the picture: its middle and its sides. */
export interface CropBox {
  readonly center: Point;
  readonly width: number;
  readonly height: number;
}

/** The box around a person is this many times as large as the person. */
export const BOX_PADDING = 1.25;

/** The box around points or corners, padded, widened or heightened to an aspect ratio (width / height). */
export function paddedBox(corners: readonly Point[], aspect: number): CropBox {
  const [xs, ys] = [corners.map(({ x }) => x), corners.map(({ y }) => y)];
  const [left, right] = [Math.min(...xs), Math.max(...xs)];
  const [top, bottom] = [Math.min(...ys), Math.max(...ys)];
  const height = BOX_PADDING * Math.max(bottom - top, (right - left) / aspect, 1);
  return { center: { x: (left + right) / 2, y: (top + bottom) / 2 }, width: height * aspect, height };
}

/** Pixels of a network's input. */
export interface PixelSize {
  readonly width: number;
  readonly height: number;
}

/**
 * Maps the pixel grid of an input onto a box: its pixels are `step` apart, and the middle of the box falls on pixel
 * `middle`, both counted between the centres of pixels.
 */
export interface Crop {
  readonly box: CropBox;
  readonly size: PixelSize;
  readonly step: Point;
  readonly middle: Point;
}

/**
 * The crop of MMPose's top-down transform: the box is as wide as the input has pixels, and its middle falls on pixel
 * (width / 2, height / 2).
 */
export function topDownCrop(box: CropBox, size: PixelSize): Crop {
  return {
    box,
    size,
    step: { x: box.width / size.width, y: box.height / size.height },
    middle: { x: size.width / 2, y: size.height / 2 },
  };
}

/**
 * The crop of unbiased data processing (UDP, CVPR 2020), which Sapiens uses: the box reaches from the centre of the
 * first pixel to that of the last one.
 */
export function unbiasedCrop(box: CropBox, size: PixelSize): Crop {
  const [lastX, lastY] = [size.width - 1, size.height - 1];
  return {
    box,
    size,
    step: { x: box.width / lastX, y: box.height / lastY },
    middle: { x: lastX / 2, y: lastY / 2 },
  };
}

/** Where in the picture a pixel of the input lies; `x` and `y` count from the centre of the first one. */
export function fromCrop({ box, step, middle }: Crop, x: number, y: number): Point {
  return { x: box.center.x + (x - middle.x) * step.x, y: box.center.y + (y - middle.y) * step.y };
}

/** The inverse of `fromCrop`. */
export function toCrop({ box, step, middle }: Crop, { x, y }: Point): Point {
  return { x: (x - box.center.x) / step.x + middle.x, y: (y - box.center.y) / step.y + middle.y };
}

/** The pixels of a crop, [3, height, width]. */
export function sampleCrop(frame: ImagePyramid, crop: Crop, channels: ChannelScale): Float32Array {
  const { size, step } = crop;
  const grid: SampleGrid = {
    ...size,
    center: fromCrop(crop, (size.width - 1) / 2, (size.height - 1) / 2),
    across: { x: step.x, y: 0 },
    down: { x: 0, y: step.y },
  };
  return sampleGrid(frame, grid, channels);
}

/** The whole picture in the upper left corner of the input, as large as it fits: the letter box of MMDetection. */
export function letterboxCrop({ image }: ImagePyramid, size: PixelSize): Crop {
  const scale = Math.min(size.width / image.width, size.height / image.height);
  const box = {
    center: { x: size.width / scale / 2, y: size.height / scale / 2 },
    width: size.width / scale,
    height: size.height / scale,
  };
  const middle = { x: (size.width - 1) / 2, y: (size.height - 1) / 2 };
  return { box, size, step: { x: 1 / scale, y: 1 / scale }, middle };
}

/** RGB, less the mean, by the deviation; black outside. */
function normalised(mean: readonly number[], deviation: readonly number[]): ChannelScale {
  const at = (byte: number) => mean.map((m, c) => (byte - m) / deviation[c]!) as [number, number, number];
  return { low: at(0), high: at(255), order: [0, 1, 2], outside: 0 };
}

/** Means and deviations of ImageNet: RTMPose, DWPose. */
export const IMAGENET_CHANNELS = normalised([123.675, 116.28, 103.53], [58.395, 57.12, 57.375]);
/** Those of Sapiens. */
export const SAPIENS_CHANNELS = normalised([123.5, 116.5, 103.5], [58.5, 57, 57.5]);
/** RTMDet: ImageNet's, blue first, grey outside. */
export const RTMDET_CHANNELS: ChannelScale = {
  ...normalised([103.53, 116.28, 123.675], [57.375, 57.12, 58.395]),
  order: [2, 1, 0],
  outside: 114,
};
/** YOLOX: bytes as they are, blue first, grey outside. */
export const YOLOX_CHANNELS: ChannelScale = {
  low: [0, 0, 0],
  high: [255, 255, 255],
  order: [2, 1, 0],
  outside: 114,
};
