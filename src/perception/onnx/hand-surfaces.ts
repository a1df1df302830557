/** Normals of hands: those of a surface-normal network, inside the hands of a part segmentation. */
import { type HandSurfaces, MAX_PATCH_SIDE, type NormalPatch } from "../normal-patch.ts";
import type { ImagePyramid, Region } from "../region.ts";
import {
  type Crop,
  type PixelSize,
  SAPIENS_CHANNELS,
  fromCrop,
  sampleCrop,
  toCrop,
  topDownCrop,
} from "./crop.ts";
import { floats, runModel } from "./onnx-eyes.ts";
import type { OnnxModels, OpenModel } from "./open-models.ts";
import { type MapSignature, NUM_PARTS } from "./signature.ts";

/** Classes of hands among the 28 parts of Sapiens. */
const LEFT_HAND = 5;
const RIGHT_HAND = 14;

/** Values of a network over a crop of the picture, [channels, height, width]. */
interface CropMap {
  readonly crop: Crop;
  readonly size: PixelSize;
  readonly values: Float32Array;
}

/** Sees the surfaces of hands; null when the models do not. */
export function handSurfaceReader(
  models: OnnxModels,
): ((frame: ImagePyramid, region: Region) => Promise<HandSurfaces>) | null {
  const [normals, parts] = [models.get("normals"), models.get("parts")];
  if (!normals || !parts) return null;
  return async (frame, region) => {
    const surface = await mapOf(normals, frame, region);
    const part = await mapOf(parts, frame, region);
    return {
      left: patchOf(frame, surface, part, LEFT_HAND),
      right: patchOf(frame, surface, part, RIGHT_HAND),
    };
  };
}

async function mapOf(model: OpenModel<MapSignature>, frame: ImagePyramid, region: Region): Promise<CropMap> {
  const { signature } = model;
  const box = {
    center: region.center,
    width: (region.size * signature.width) / signature.height,
    height: region.size,
  };
  // Networks that give maps resize pictures without aligning their corners.
  const crop = {
    ...topDownCrop(box, signature),
    middle: { x: (signature.width - 1) / 2, y: (signature.height - 1) / 2 },
  };
  const [output] = await runModel(model, sampleCrop(frame, crop, SAPIENS_CHANNELS));
  const [, , height, width] = output!.shape;
  return { crop, size: { width: width!, height: height! }, values: floats(output!.data, model) };
}

/** The patch over all pixels of a class, or null. */
function patchOf(frame: ImagePyramid, surface: CropMap, parts: CropMap, hand: number): NormalPatch | null {
  const bounds = boundsOf(parts, hand);
  if (!bounds) return null;
  const { image } = frame;
  const left = Math.max(0, Math.floor(bounds.left));
  const top = Math.max(0, Math.floor(bounds.top));
  const [right, bottom] = [Math.min(image.width, bounds.right), Math.min(image.height, bounds.bottom)];
  const step = Math.max(1, Math.max(right - left, bottom - top) / MAX_PATCH_SIDE);
  const [width, height] = [Math.ceil((right - left) / step), Math.ceil((bottom - top) / step)];
  if (width <= 0 || height <= 0) return null;
  const normals = new Uint8Array(3 * width * height);
  let numSeen = 0;
  for (let v = 0; v < height; v++) {
    for (let u = 0; u < width; u++) {
      const at = { x: left + (u + 0.5) * step, y: top + (v + 0.5) * step };
      const scores = sampleMap(parts, at, NUM_PARTS);
      if (scores === null || indexOfMax(scores) !== hand) continue;
      const normal = sampleMap(surface, at, 3);
      const length = normal ? Math.hypot(...normal) : 0;
      if (!(length > 0)) continue;
      numSeen++;
      for (let c = 0; c < 3; c++) {
        normals[3 * (v * width + u) + c] = Math.round(127.5 + (127.5 * normal![c]!) / length);
      }
    }
  }
  if (numSeen === 0) return null;
  const [across, down] = [
    { x: step, y: 0 },
    { x: 0, y: step },
  ];
  return { width, height, origin: { x: left, y: top }, across, down, normals };
}

/** The part of the picture in which a class wins somewhere, a pixel of the map wider. */
function boundsOf(parts: CropMap, hand: number) {
  const { size, values } = parts;
  const plane = size.width * size.height;
  let [left, right, top, bottom] = [Infinity, -Infinity, Infinity, -Infinity];
  for (let i = 0; i < plane; i++) {
    const score = values[hand * plane + i]!;
    let isBest = true;
    for (let c = 0; c < NUM_PARTS && isBest; c++) isBest = c === hand || values[c * plane + i]! < score;
    if (!isBest) continue;
    const [x, y] = [i % size.width, Math.floor(i / size.width)];
    left = Math.min(left, x);
    right = Math.max(right, x);
    top = Math.min(top, y);
    bottom = Math.max(bottom, y);
  }
  if (left > right) return null;
  const corner = (x: number, y: number) => fromMap(parts, x, y);
  const [first, last] = [corner(left - 1.5, top - 1.5), corner(right + 1.5, bottom + 1.5)];
  return { left: first.x, top: first.y, right: last.x, bottom: last.y };
}

/** Where the centre of a pixel of the map lies in the picture. */
function fromMap({ crop, size }: CropMap, x: number, y: number) {
  const [scaleX, scaleY] = [crop.size.width / size.width, crop.size.height / size.height];
  return fromCrop(crop, (x + 0.5) * scaleX - 0.5, (y + 0.5) * scaleY - 0.5);
}

/** Values of all channels at a point of the picture, interpolated between four pixels; null outside the map. */
function sampleMap(
  { crop, size, values }: CropMap,
  point: { x: number; y: number },
  numChannels: number,
): number[] | null {
  const { width, height } = size;
  const inCrop = toCrop(crop, point);
  const x = ((inCrop.x + 0.5) * width) / crop.size.width - 0.5;
  const y = ((inCrop.y + 0.5) * height) / crop.size.height - 0.5;
  if (x < -0.5 || y < -0.5 || x > width - 0.5 || y > height - 0.5) return null;
  const [left, top] = [Math.max(0, Math.floor(x)), Math.max(0, Math.floor(y))];
  const [right, below] = [Math.min(width - 1, left + 1), Math.min(height - 1, top + 1)];
  const [fx, fy] = [Math.max(0, x - left), Math.max(0, y - top)];
  const plane = width * height;
  return Array.from({ length: numChannels }, (_, c) => {
    const at = (row: number, column: number): number => values[c * plane + row * width + column]!;
    const upper = at(top, left) * (1 - fx) + at(top, right) * fx;
    const lower = at(below, left) * (1 - fx) + at(below, right) * fx;
    return upper * (1 - fy) + lower * fy;
  });
}

function indexOfMax(values: readonly number[]): number {
  let top = 0;
  for (let i = 1; i < values.length; i++) if (values[i]! > values[top]!) top = i;
  return top;
}
