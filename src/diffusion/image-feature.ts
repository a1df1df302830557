// Shapes: H W rows and columns of the picture, S side of the encoder's input, N image tokens, D width
import { type ClipVisionConfig, numImageTokens } from "../models/clip-vision/config.ts";
import { type Image } from "../media/pixels.ts";
import { type Runner } from "../runtime/runner.ts";
import { invariant } from "../tensor/errors.ts";
import { type Tensor, float32, zeros } from "../tensor/tensor.ts";

/** Per colour channel, of pixels in 0..1: the statistics that CLIP was trained with. */
const MEAN = [0.48145466, 0.4578275, 0.40821073] as const;
const STD = [0.26862954, 0.26130258, 0.27577711] as const;

/**
 * The denoiser's image feature: tokens of the reference image from the vision tower.
 * @param runner a graph of `buildClipVision(config)` with its parameters bound
 * @returns [1, N, D]
 */
export async function encodeImageFeature(
  image: Image,
  config: ClipVisionConfig,
  runner: Runner,
): Promise<Tensor<"float32">> {
  return encodePixels(clipPixels(image, config.imageSize), config, runner);
}

/** The same of a picture as `clipPixels` makes it. */
export async function encodePixels(
  pixels: Tensor<"float32">,
  config: ClipVisionConfig,
  runner: Runner,
): Promise<Tensor<"float32">> {
  const { clipFeature } = await runner.run({ pixels });
  const shape = [1, numImageTokens(config), config.dim];
  invariant(clipFeature?.dtype === "float32", "the vision tower gave no float32 feature");
  return float32(clipFeature.data as Float32Array, shape);
}

/** A picture as the vision tower takes it, [1, 3, S, S]: resized, then normalised with CLIP's statistics. */
export function clipPixels(image: Image, size: number): Tensor<"float32"> {
  const pixels = resizeBicubic(image, size);
  const area = size * size;
  for (let i = 0; i < pixels.data.length; i++) {
    const channel = Math.floor(i / area);
    pixels.data[i] = (pixels.data[i]! * 0.5 + 0.5 - MEAN[channel]!) / STD[channel]!;
  }
  return pixels;
}

/**
 * Bicubic resize to a square of side S, [1, 3, S, S] in about -1..1. As in the published code, the aspect ratio is
 * not kept, shrinking is not smoothed, and overshoot is not clipped.
 */
export function resizeBicubic(image: Image, size: number): Tensor<"float32"> {
  const columns = cubicTaps(image.width, size);
  const rows = cubicTaps(image.height, size);
  const resized = zeros([1, 3, size, size]);
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      for (let c = 0; c < 3; c++) {
        let sum = 0;
        for (let i = 0; i < 4; i++) {
          const row = rows.at[4 * y + i]! * image.width;
          let across = 0;
          for (let j = 0; j < 4; j++) {
            const value = image.data[3 * (row + columns.at[4 * x + j]!) + c]!;
            across += columns.weight[4 * x + j]! * ((value / 255) * 2 - 1);
          }
          sum += rows.weight[4 * y + i]! * across;
        }
        resized.data[(c * size + y) * size + x] = sum;
      }
    }
  }
  return resized;
}

/** The four source positions of every target position, clamped to the picture, and their weights. */
interface Taps {
  readonly at: Int32Array;
  readonly weight: Float64Array;
}

function cubicTaps(sourceSize: number, targetSize: number): Taps {
  const at = new Int32Array(4 * targetSize);
  const weight = new Float64Array(4 * targetSize);
  for (let i = 0; i < targetSize; i++) {
    // Centres of pixels lie at half positions.
    const centre = ((i + 0.5) * sourceSize) / targetSize - 0.5;
    const first = Math.floor(centre) - 1;
    for (let tap = 0; tap < 4; tap++) {
      at[4 * i + tap] = Math.min(sourceSize - 1, Math.max(0, first + tap));
      weight[4 * i + tap] = cubicKernel(Math.abs(centre - first - tap));
    }
  }
  return { at, weight };
}

/** Keys' cubic convolution with a = -0.75, at a distance of 0..2 pixels. */
function cubicKernel(x: number): number {
  const a = -0.75;
  return x <= 1 ? ((a + 2) * x - (a + 3)) * x * x + 1 : ((x - 5) * x + 8) * x * a - 4 * a;
}
