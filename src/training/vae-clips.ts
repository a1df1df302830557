import { makeIdentity } from "../avatar/identity.ts";
import { makeMotion, type World } from "../avatar/motion.ts";
import { makeScene } from "../avatar/scene.ts";
import { renderClip } from "../avatar/clip.ts";
import { type PoseKeypoints, bodyIndex } from "../media/pose-keypoints.ts";
import { renderSkeleton } from "../media/skeleton.ts";
import { openCheckpoint } from "../runtime/checkpoint.ts";
import { writeSafetensors } from "../runtime/safetensors-writer.ts";
import { Random } from "../tensor/random.ts";
import { type Tensor, tensor } from "../tensor/tensor.ts";
import { faceOf } from "./face.ts";

/**
 * A rendered clip, the skeleton and hand normals that belong to it, all 8 bits, [F, H, W, 3]. Masks [F, H, W]: how much
 * of a pixel the person covers, 0..255, and where eyes, nose and mouth are seen, 0 or 255.
 */
export interface VaeClip {
  readonly numFrames: number;
  readonly width: number;
  readonly height: number;
  readonly frames: Uint8Array;
  readonly skeleton: Uint8Array;
  readonly handNormals: Uint8Array;
  readonly mask: Uint8Array;
  readonly face: Uint8Array;
}

/** The size that the embedded model works at. */
const SIZE = { width: 128, height: 192 };

/** Bytes of a clip: three videos of three channels, and two masks. */
export function vaeClipBytes(numFrames: number): number {
  return (3 * 3 + 2) * numFrames * SIZE.width * SIZE.height;
}

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
    const face = new Uint8Array(mask.length);
    clip.keypoints.forEach((pose, f) =>
      markFace(face.subarray(f * width * height, (f + 1) * width * height), width, pose),
    );
    yield { numFrames, width, height, frames, skeleton, handNormals, mask, face };
  }
}

/** Marks the face in a frame [H, W]. */
function markFace(frame: Uint8Array, width: number, { body }: PoseKeypoints): void {
  const face = faceOf((name) => body[bodyIndex(name)]!);
  if (!face) return;
  for (let i = 0; i < frame.length; i++) {
    const [x, y] = [(i % width) + 0.5, Math.floor(i / width) + 0.5];
    if (Math.hypot(x - face.x, y - face.y) < face.radius) frame[i] = 255;
  }
}

/** Writes clips to one file, so that a training that resumes need not render them again. */
export async function saveVaeClips(path: string, clips: readonly VaeClip[]): Promise<void> {
  const tensors: Record<string, Tensor> = {};
  clips.forEach(({ numFrames, height, width, frames, skeleton, handNormals, mask, face }, i) => {
    const shape = [numFrames, height, width, 3];
    tensors[`${i}.frames`] = tensor("uint8", shape, frames);
    tensors[`${i}.skeleton`] = tensor("uint8", shape, skeleton);
    tensors[`${i}.handNormals`] = tensor("uint8", shape, handNormals);
    tensors[`${i}.mask`] = tensor("uint8", shape.slice(0, 3), mask);
    tensors[`${i}.face`] = tensor("uint8", shape.slice(0, 3), face);
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
      face: await read("face"),
    });
  }
  return clips;
}
