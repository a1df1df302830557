import { makeIdentity } from "../avatar/identity.ts";
import { makeMotion, type World } from "../avatar/motion.ts";
import { makeScene } from "../avatar/scene.ts";
import { type Clip, type ClipRequest, renderClip, renderReference } from "../avatar/clip.ts";
import { pasteKeptFrames } from "../diffusion/conditions.ts";
import { clipPixels } from "../diffusion/image-feature.ts";
import { type VideoVae } from "../diffusion/latents.ts";
import { type Image, imageFromBytes } from "../media/pixels.ts";
import type { PoseKeypoints } from "../media/pose-keypoints.ts";
import { type SkeletonOptions, renderSkeleton } from "../media/skeleton.ts";
import { Random } from "../tensor/random.ts";
import { type StoredClip, storedPoses } from "./dataset.ts";

export interface ClipRecipe {
  /** Name of the series; clips of two series never show the same person, place or dance. */
  readonly series: string;
  readonly world: World;
  /** Pixels, multiples of 16. */
  readonly width: number;
  readonly height: number;
  /** 1 + 4k where clips are encoded. */
  readonly numFrames: number;
  /** Frames at either end whose picture replaces skeleton and hand normals (phase 2); 0 elsewhere. */
  readonly headFrames: number;
  readonly tailFrames: number;
}

/** A rendered clip and a picture of the same person standing in the same place. */
export interface RenderedClip {
  readonly clip: Clip;
  readonly reference: Image;
  /** Share of each pixel of the reference that the person covers, 0..255, [H, W]. */
  readonly referenceMask: Uint8Array;
}

/** Who dances where and how in clip number `index` of a series, and how they stand in the reference. */
export function seriesClipRequest(
  recipe: ClipRecipe,
  index: number,
): { readonly clip: ClipRequest & { readonly startS: number }; readonly stance: number } {
  const random = new Random(recipe.series).fork(index);
  const seed = (): number => random.integer(2 ** 31);
  const { world, width, height, numFrames } = recipe;
  const identity = makeIdentity(seed(), world);
  const scene = makeScene(seed(), world);
  const motion = makeMotion(seed(), world);
  const startS = random.uniform(0, 20);
  return { clip: { identity, scene, motion, width, height, numFrames, startS }, stance: seed() };
}

/** Clip number `index` of a series. */
export function renderSeriesClip(recipe: ClipRecipe, index: number): RenderedClip {
  const { clip, stance } = seriesClipRequest(recipe, index);
  const { identity, scene, width, height } = clip;
  const { image, mask } = renderReference({ identity, scene, width, height, stance });
  return { clip: renderClip(clip), reference: image, referenceMask: mask };
}

/** How the embedded model's skeletons are drawn. */
const SCALED: SkeletonOptions = { style: "scaled" };

/** Frames, skeletons and hand normals of a clip as pictures. */
export function conditionFrames(
  clip: Clip,
  skeleton: SkeletonOptions = SCALED,
): { frames: Image[]; skeletons: Image[]; handNormals: Image[] } {
  const { width, height } = clip;
  const size = 3 * width * height;
  const cut = (video: Uint8Array): Image[] =>
    clip.keypoints.map((_, f) => imageFromBytes(width, height, video.subarray(f * size, (f + 1) * size)));
  return {
    frames: cut(clip.frames),
    skeletons: clip.keypoints.map((pose) => renderSkeleton(pose, width, height, skeleton)),
    handNormals: cut(clip.handNormals),
  };
}

/** Everything that makes latents, tokens and pixels of a clip. */
export interface ClipEncoders {
  readonly vae: VideoVae;
  /** Prompt -> token ids, padded to the model's text length. */
  readonly tokenize: (prompt: string) => Int32Array;
  /** Side of the image encoder's input. */
  readonly imageSize: number;
  /** How skeletons are drawn; as the embedded model's by default. */
  readonly skeleton?: SkeletonOptions;
}

/** A clip as pictures and words. */
export interface ClipPictures {
  readonly frames: readonly Image[];
  readonly skeletons: readonly Image[];
  readonly handNormals: readonly Image[];
  readonly reference: Image;
  /** Poses in the frames' pixels. */
  readonly poses: readonly PoseKeypoints[];
  /** Share of each pixel that the person covers, 0..255, [F, H, W]. */
  readonly mask: Uint8Array;
  readonly caption: string;
}

/** Encodes a clip. Kept frames at either end replace skeletons and hand normals. */
export async function encodeClip(
  pictures: ClipPictures,
  { headFrames, tailFrames }: Pick<ClipRecipe, "headFrames" | "tailFrames">,
  { vae, tokenize, imageSize }: ClipEncoders,
): Promise<StoredClip> {
  const { frames, skeletons, handNormals, reference, poses, mask, caption } = pictures;
  const { width, height } = reference;
  const kept = { head: frames.slice(0, headFrames), tail: frames.slice(frames.length - tailFrames) };
  const encode = async (video: readonly Image[]): Promise<Float32Array> => (await vae.encode(video)).data;
  return {
    video: await encode(frames),
    pose: await encode(pasteKeptFrames(skeletons, kept)),
    hand: await encode(pasteKeptFrames(handNormals, kept)),
    reference: await encode([reference]),
    person: latentCoverage({ mask, numFrames: frames.length, width, height }),
    tokens: tokenize(caption),
    image: clipPixels(reference, imageSize).data,
    poses: storedPoses(poses, { width, height }),
  };
}

/** Renders and encodes clip number `index`. */
export async function makeTrainingClip(
  recipe: ClipRecipe,
  index: number,
  encoders: ClipEncoders,
): Promise<StoredClip> {
  const { clip, reference } = renderSeriesClip(recipe, index);
  const pictures = { ...conditionFrames(clip, encoders.skeleton), reference, poses: clip.keypoints };
  return encodeClip({ ...pictures, mask: clip.mask, caption: clip.caption }, recipe, encoders);
}

const SPATIAL_STRIDE = 8;
const TEMPORAL_STRIDE = 4;

/** Largest coverage of the person over the pixels and frames of each latent cell, 0..255, [f, h, w]. */
function latentCoverage({
  mask,
  numFrames,
  width,
  height,
}: Pick<Clip, "mask" | "numFrames" | "width" | "height">): Uint8Array {
  const [h, w] = [height / SPATIAL_STRIDE, width / SPATIAL_STRIDE];
  const out = new Uint8Array((1 + (numFrames - 1) / TEMPORAL_STRIDE) * h * w);
  for (let f = 0; f < numFrames; f++) {
    const t = Math.ceil(f / TEMPORAL_STRIDE);
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const cell = (t * h + Math.floor(y / SPATIAL_STRIDE)) * w + Math.floor(x / SPATIAL_STRIDE);
        out[cell] = Math.max(out[cell]!, mask[(f * height + y) * width + x]!);
      }
    }
  }
  return out;
}
