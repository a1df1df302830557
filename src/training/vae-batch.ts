import { type Random } from "../tensor/random.ts";
import { type Tensor, float32, zeros } from "../tensor/tensor.ts";
import { type VaeClip } from "./vae-clips.ts";
import { type VaeBatchShape } from "./vae-loss.ts";

/**
 * What a training sample shows: a picture of anything or with a face in it, conditions, or a picture that turns into a
 * skeleton, as interpolated segments do.
 */
type SampleKind = "picture" | "face" | "skeleton" | "handNormals" | "spliced";

/** A window of a clip in space and time. */
interface Crop {
  readonly clip: VaeClip;
  readonly kind: SampleKind;
  readonly frame: number;
  readonly top: number;
  readonly left: number;
  readonly mirrored: boolean;
}

/**
 * Error weights: a person counts this many times a background pixel, so do the marks of skeletons and normals. Faces are
 * small, and their features decide whether a person is seen from the front: they count most.
 */
const PERSON_WEIGHT = 3;
const FACE_WEIGHT = 16;
const MARK_WEIGHT = 5;

/** Largest deviation of the noise added to latents. */
const MAX_NOISE = 0.15;

/**
 * The batch of a step: random windows of random clips, a quarter of them skeletons and hand normals.
 * Inputs of `buildVaeLoss`; the same random stream gives the same batch.
 */
export function drawVaeBatch(
  clips: readonly VaeClip[],
  shape: VaeBatchShape,
  latentShape: readonly number[],
  random: Random,
): Record<"video" | "weight" | "noise", Tensor<"float32">> {
  const { batch, numFrames, height, width } = shape;
  const video = zeros([batch, 3, numFrames, height, width]);
  const weight = zeros([batch, 1, numFrames, height, width]);
  for (let b = 0; b < batch; b++) {
    const stream = random.fork(b);
    fillSample(drawCrop(clips, drawKind(stream), shape, stream), shape, b, video.data, weight.data);
  }
  const noise = random.fork("noise");
  const values = noise.normals(latentShape.reduce((n, dim) => n * dim, 1));
  const perClip = values.length / batch;
  for (let b = 0; b < batch; b++) {
    const deviation = noise.uniform(0, MAX_NOISE);
    for (let i = b * perClip; i < (b + 1) * perClip; i++) values[i]! *= deviation;
  }
  return { video, weight, noise: float32(values, latentShape) };
}

function drawKind(random: Random): SampleKind {
  const x = random.uniform();
  if (x < 0.35) return "picture";
  if (x < 0.7) return "face";
  if (x < 0.84) return "skeleton";
  return x < 0.95 ? "handNormals" : "spliced";
}

/** A window with something in it, if eight attempts find one. */
function drawCrop(clips: readonly VaeClip[], kind: SampleKind, shape: VaeBatchShape, random: Random): Crop {
  let crop: Crop;
  let attempts = 0;
  do {
    const clip = random.choice(clips);
    crop = {
      clip,
      kind,
      frame: random.integer(clip.numFrames - shape.numFrames + 1),
      top: random.integer(clip.height - shape.height + 1),
      left: random.integer(clip.width - shape.width + 1),
      mirrored: random.chance(0.5),
    };
  } while (++attempts < 8 && !isInteresting(crop, shape));
  return crop;
}

/** Share of a window's first frame that what it is drawn for must fill. */
const LEAST_SHARE: Readonly<Record<SampleKind, number>> = {
  picture: 0.15,
  spliced: 0.15,
  face: 0.005,
  skeleton: 0.01,
  handNormals: 0.01,
};

/** Whether the first frame shows enough of what it is drawn for. One picture in eight attempts stays background. */
function isInteresting({ clip, kind, frame, top, left }: Crop, { height, width }: VaeBatchShape): boolean {
  const isShown = shownPixels(clip, kind);
  let count = 0;
  for (let y = top; y < top + height; y++) {
    for (let x = left; x < left + width; x++) {
      if (isShown((frame * clip.height + y) * clip.width + x)) count++;
    }
  }
  return count / (height * width) > LEAST_SHARE[kind];
}

/** Whether a pixel of a clip belongs to what samples of a kind are drawn for. */
function shownPixels(clip: VaeClip, kind: SampleKind): (pixel: number) => boolean {
  if (kind === "picture" || kind === "spliced") return (i) => clip.mask[i]! > 127;
  if (kind === "face") return (i) => clip.face[i]! > 0;
  const marks = marksOf(clip, kind)!;
  return (i) => marks[3 * i]! + marks[3 * i + 1]! + marks[3 * i + 2]! > 0;
}

/** The conditions that a sample of a kind shows; null for pictures. */
function marksOf(clip: VaeClip, kind: SampleKind): Uint8Array | null {
  return kind === "skeleton" || kind === "handNormals" ? clip[kind] : null;
}

function pictureWeight({ mask, face }: VaeClip, pixel: number): number {
  const person = 1 + ((PERSON_WEIGHT - 1) * mask[pixel]!) / 255;
  return mask[pixel]! > 127 && face[pixel]! > 0 ? FACE_WEIGHT : person;
}

/** Writes a window into place `b` of the batch; its weights have mean 1. */
function fillSample(
  crop: Crop,
  shape: VaeBatchShape,
  b: number,
  video: Float32Array,
  weight: Float32Array,
): void {
  const { clip, kind } = crop;
  const { numFrames, height, width } = shape;
  const area = height * width;
  const splice = kind === "spliced" ? 1 + 4 * Math.floor(numFrames / 8) : 0;
  let total = 0;
  for (let t = 0; t < numFrames; t++) {
    const marks = kind === "spliced" && t >= splice ? clip.skeleton : marksOf(clip, kind);
    const source = marks ?? clip.frames;
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const column = crop.left + (crop.mirrored ? width - 1 - x : x);
        const from = ((crop.frame + t) * clip.height + crop.top + y) * clip.width + column;
        const pixel = t * area + y * width + x;
        let sum = 0;
        for (let c = 0; c < 3; c++) {
          const value = source[3 * from + c]!;
          sum += value;
          video[(b * 3 + c) * numFrames * area + pixel] = value / 127.5 - 1;
        }
        const w = marks ? 1 + (MARK_WEIGHT - 1) * Math.min(1, sum / 255) : pictureWeight(clip, from);
        weight[b * numFrames * area + pixel] = w;
        total += w;
      }
    }
  }
  const scale = (numFrames * area) / total;
  const end = (b + 1) * numFrames * area;
  for (let i = b * numFrames * area; i < end; i++) weight[i]! *= scale;
}
