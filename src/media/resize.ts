import { UserError } from "../tensor/errors.ts";
import { createImage, type Image } from "./pixels.ts";

/** A rectangle of a picture in whole pixels. */
export interface Box {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

/** The part of a picture inside a box that lies within it. */
export function crop(image: Image, { left, top, width, height }: Box): Image {
  if (left < 0 || top < 0 || left + width > image.width || top + height > image.height) {
    throw new UserError(
      `cannot cut ${width}x${height} at (${left}, ${top}) from a ${image.width}x${image.height} image`,
    );
  }
  const out = createImage(width, height);
  for (let y = 0; y < height; y++) {
    const from = ((top + y) * image.width + left) * 3;
    out.data.set(image.data.subarray(from, from + width * 3), y * width * 3);
  }
  return out;
}

/** The largest centred box of the target's aspect ratio: torchvision's RandomResizedCrop at scale 1, fixed ratio. */
export function centerCropBox(width: number, height: number, targetWidth: number, targetHeight: number): Box {
  const ratio = targetWidth / targetHeight;
  let [boxWidth, boxHeight] = [width, height];
  if (width / height < ratio) boxHeight = Math.max(1, Math.round(width / ratio));
  else if (width / height > ratio) boxWidth = Math.max(1, Math.round(height * ratio));
  return {
    left: Math.floor((width - boxWidth) / 2),
    top: Math.floor((height - boxHeight) / 2),
    width: boxWidth,
    height: boxHeight,
  };
}

/** Centre crop to the aspect ratio of width x height, then `resize`: how every input reaches the model. */
export function centerCropResize(image: Image, width: number, height: number): Image {
  return resize(crop(image, centerCropBox(image.width, image.height, width, height)), width, height);
}

/**
 * Bilinear resize with anti-aliasing as torchvision does it on uint8: a triangle filter as wide as the shrink factor,
 * 16-bit integer weights, rows first, both passes rounded to 8 bits. The same bytes on every machine.
 */
export function resize(image: Image, width: number, height: number): Image {
  const across = triangleWeights(image.width, width);
  const down = triangleWeights(image.height, height);
  const wide = image.width === width ? image : resizeRows(image, width, across);
  return wide.height === height ? copyUnlessNew(wide, image) : resizeColumns(wide, height, down);
}

const copyUnlessNew = (result: Image, source: Image): Image =>
  result === source ? { ...source, data: Uint8Array.from(source.data) } : result;

/** For each output position: the first input position and its integer weights, which add up to about 2^precision. */
interface Weights {
  readonly first: Int32Array;
  readonly count: Int32Array;
  /** [output, maxCount] */
  readonly weights: Int32Array;
  readonly maxCount: number;
  readonly precision: number;
}

function triangleWeights(input: number, output: number): Weights {
  const scale = input / output;
  const support = Math.max(1, scale);
  const maxCount = Math.ceil(support) * 2 + 1;
  const [first, count] = [new Int32Array(output), new Int32Array(output)];
  const exact = new Float64Array(output * maxCount);
  for (let i = 0; i < output; i++) {
    const center = scale * (i + 0.5);
    const start = Math.max(0, Math.trunc(center - support + 0.5));
    const size = Math.min(input, Math.trunc(center + support + 0.5)) - start;
    let total = 0;
    for (let j = 0; j < size; j++) {
      const weight = Math.max(0, 1 - Math.abs((j + start - center + 0.5) / support));
      exact[i * maxCount + j] = weight;
      total += weight;
    }
    for (let j = 0; j < size; j++) exact[i * maxCount + j]! /= total;
    [first[i], count[i]] = [start, size];
  }
  // The most fractional bits with which the largest weight still fits 16 bits with sign.
  const largest = exact.reduce((a, b) => Math.max(a, b), 0);
  let precision = 0;
  while (precision < 22 && Math.trunc(0.5 + largest * 2 ** (precision + 1)) < 32768) precision += 1;
  const weights = Int32Array.from(exact, (w) => Math.trunc(0.5 + w * 2 ** precision));
  return { first, count, weights, maxCount, precision };
}

function resizeRows(
  image: Image,
  width: number,
  { first, count, weights, maxCount, precision }: Weights,
): Image {
  const out = createImage(width, image.height);
  const half = 1 << (precision - 1);
  for (let y = 0; y < image.height; y++) {
    const row = y * image.width * 3;
    for (let x = 0; x < width; x++) {
      let [r, g, b] = [half, half, half];
      for (let j = 0; j < count[x]!; j++) {
        const weight = weights[x * maxCount + j]!;
        const at = row + (first[x]! + j) * 3;
        r += image.data[at]! * weight;
        g += image.data[at + 1]! * weight;
        b += image.data[at + 2]! * weight;
      }
      const to = (y * width + x) * 3;
      out.data[to] = Math.min(255, r >> precision);
      out.data[to + 1] = Math.min(255, g >> precision);
      out.data[to + 2] = Math.min(255, b >> precision);
    }
  }
  return out;
}

function resizeColumns(
  image: Image,
  height: number,
  { first, count, weights, maxCount, precision }: Weights,
): Image {
  const out = createImage(image.width, height);
  const stride = image.width * 3;
  const sums = new Int32Array(stride);
  for (let y = 0; y < height; y++) {
    sums.fill(1 << (precision - 1));
    for (let j = 0; j < count[y]!; j++) {
      const weight = weights[y * maxCount + j]!;
      const row = (first[y]! + j) * stride;
      for (let i = 0; i < stride; i++) sums[i]! += image.data[row + i]! * weight;
    }
    const to = y * stride;
    for (let i = 0; i < stride; i++) out.data[to + i] = Math.min(255, sums[i]! >> precision);
  }
  return out;
}
