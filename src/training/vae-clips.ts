import { makeIdentity } from "../avatar/identity.ts";
import { makeMotion, type World } from "../avatar/motion.ts";
import { makeScene } from "../avatar/scene.ts";
import { renderClip } from "../avatar/clip.ts";
import { renderSkeleton } from "../media/skeleton.ts";
import { openCheckpoint } from "../runtime/checkpoint.ts";
import { writeSafetensors } from "../runtime/safetensors-writer.ts";
import { Random } from "../tensor/random.ts";
import { type Tensor, float32, tensor, zeros } from "../tensor/tensor.ts";
import { type VaeBatchShape } from "./vae-loss.ts";

/** A rendered clip, the skeleton and hand normals that belong to it, all 8 bits, [F, H, W, 3]; mask [F, H, W]. */
export interface VaeClip {
  readonly numFrames: number;
  readonly width: number;
  readonly height: number;
  readonly frames: Uint8Array;
  readonly skeleton: Uint8Array;
  readonly handNormals: Uint8Array;
  readonly mask: Uint8Array;
}

/** What a training sample shows. A spliced one turns from picture to skeleton, as interpolated segments do. */
export type SampleKind = "picture" | "skeleton" | "handNormals" | "spliced";

/** The size that the embedded model works at. */
const SIZE = { width: 128, height: 192 };

/** Renders clips number `first`, `first + 1`, … of the endless series that the VAE is trained on. */
export function* renderVaeClips(first: number, count: number, numFrames: number): Generator<VaeClip> {
  for (let i = first; i < first + count; i++) {
    const world: World = i % 3 === 2 ? "varied" : "easy";
    const { width, height } = SIZE;
    const random = new Random("vae clip").fork(i);
    const clip = renderClip({
      identity: makeIdentity(random.integer(2 ** 31), world),
      scene: makeScene(random.integer(2 ** 31), world),
      motion: makeMotion(random.integer(2 ** 31), world),
      numFrames,
      width,
      height,
      startS: random.uniform(0, 20),
    });
    const skeleton = new Uint8Array(clip.frames.length);
    clip.keypoints.forEach((pose, f) => {
      const picture = renderSkeleton(pose, width, height, { style: "scaled" });
      skeleton.set(picture.data, f * picture.data.length);
    });
    const { frames, handNormals, mask } = clip;
    yield { numFrames, width, height, frames, skeleton, handNormals, mask };
  }
}

/** Writes clips to one file, so that a training that resumes need not render them again. */
export async function saveVaeClips(path: string, clips: readonly VaeClip[]): Promise<void> {
  const tensors: Record<string, Tensor> = {};
  clips.forEach(({ numFrames, height, width, frames, skeleton, handNormals, mask }, i) => {
    const shape = [numFrames, height, width, 3];
    tensors[`${i}.frames`] = tensor("uint8", shape, frames);
    tensors[`${i}.skeleton`] = tensor("uint8", shape, skeleton);
    tensors[`${i}.handNormals`] = tensor("uint8", shape, handNormals);
    tensors[`${i}.mask`] = tensor("uint8", shape.slice(0, 3), mask);
  });
  await writeSafetensors(path, tensors);
}

/** Reads what `saveVaeClips` wrote. */
export async function loadVaeClips(path: string): Promise<VaeClip[]> {
  const file = await openCheckpoint(path);
  const clips: VaeClip[] = [];
  for (let i = 0; file.tensors.has(`${i}.frames`); i++) {
    const read = async (name: string): Promise<Uint8Array> =>
      (await file.readTensor(`${i}.${name}`)).data as Uint8Array;
    const [numFrames, height, width] = file.tensors.get(`${i}.frames`)!.shape as [number, number, number];
    clips.push({
      numFrames,
      width,
      height,
      frames: await read("frames"),
      skeleton: await read("skeleton"),
      handNormals: await read("handNormals"),
      mask: await read("mask"),
    });
  }
  return clips;
}

/** A window of a clip in space and time. */
interface Crop {
  readonly clip: VaeClip;
  readonly kind: SampleKind;
  readonly frame: number;
  readonly top: number;
  readonly left: number;
  readonly mirrored: boolean;
}

/** Error weights: a person counts this many times a background pixel; so do the marks of skeletons and normals. */
const PERSON_WEIGHT = 3;
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
  if (x < 0.7) return "picture";
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

/** Whether the first frame has marks or a good part of a person. One picture in eight attempts stays background. */
function isInteresting({ clip, kind, frame, top, left }: Crop, { height, width }: VaeBatchShape): boolean {
  const marks = kind === "skeleton" ? clip.skeleton : clip.handNormals;
  let count = 0;
  for (let y = top; y < top + height; y++) {
    for (let x = left; x < left + width; x++) {
      const i = (frame * clip.height + y) * clip.width + x;
      if (kind === "picture" || kind === "spliced") count += clip.mask[i]! > 127 ? 1 : 0;
      else if (marks[3 * i]! + marks[3 * i + 1]! + marks[3 * i + 2]! > 0) count++;
    }
  }
  const share = count / (height * width);
  return share > (kind === "picture" || kind === "spliced" ? 0.15 : 0.01);
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
    const shown = kind === "spliced" ? (t < splice ? "picture" : "skeleton") : kind;
    const source = shown === "picture" ? clip.frames : clip[shown];
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
        const w =
          shown === "picture"
            ? 1 + ((PERSON_WEIGHT - 1) * clip.mask[from]!) / 255
            : 1 + (MARK_WEIGHT - 1) * Math.min(1, sum / 255);
        weight[b * numFrames * area + pixel] = w;
        total += w;
      }
    }
  }
  const scale = (numFrames * area) / total;
  const end = (b + 1) * numFrames * area;
  for (let i = b * numFrames * area; i < end; i++) weight[i]! *= scale;
}
