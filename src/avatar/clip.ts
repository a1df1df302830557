import type { Image } from "../media/pixels.ts";
import type { PoseKeypoints } from "../media/pose-keypoints.ts";
import { invariant, UserError } from "../tensor/errors.ts";
import { paintBackground } from "./background.ts";
import { describeClip } from "./caption.ts";
import { buildFigure, detailFor } from "./figure.ts";
import type { Identity } from "./identity.ts";
import { type Joints3d, jointsOf, keypointsOf } from "./keypoints.ts";
import { headRadiusOf, solveSkeleton, standingHeight } from "./kinematics.ts";
import { makeMaterials } from "./material.ts";
import { Mesh } from "./mesh.ts";
import { makeStanding, type Motion } from "./motion.ts";
import { finer, VisibilityBuffer } from "./raster.ts";
import { cameraFor, type Scene } from "./scene.ts";
import { createShadedPixels, shadePixels } from "./shade.ts";
import { castShadow } from "./shadow.ts";

/** Pixels are averaged over a grid this many times finer in both directions. */
const SUPERSAMPLE = 2;

/** Frames with their exact truth; F frames of H x W pixels, row after row, all 8 bits. */
export interface Clip {
  readonly numFrames: number;
  readonly width: number;
  readonly height: number;
  readonly fps: number;
  /** RGB, [F, H, W, 3]. */
  readonly frames: Uint8Array;
  /**
   * Normals of the visible surface of the hands, [F, H, W, 3]: x right, y up, z to the viewer,
   * each from [-1, 1] to 0..255; black elsewhere.
   */
  readonly handNormals: Uint8Array;
  /** Share of each pixel that the person covers, 0..255, [F, H, W]. */
  readonly mask: Uint8Array;
  readonly keypoints: readonly PoseKeypoints[];
  readonly joints: readonly Joints3d[];
  /** A plain sentence; it contains `subject`. */
  readonly caption: string;
  readonly subject: Identity["subject"];
}

export interface ClipRequest {
  readonly identity: Identity;
  readonly scene: Scene;
  readonly motion: Motion;
  readonly numFrames: number;
  /** Pixels; at least 16 each. */
  readonly width: number;
  readonly height: number;
  /** Frames per second (default 16). */
  readonly fps?: number;
  /** Time of the first frame in the motion, seconds (default 0). */
  readonly startS?: number;
}

/** One frame, as `renderFrames` yields it. The arrays are new for each frame. */
export interface ClipFrame {
  readonly image: Image;
  readonly handNormals: Image;
  /** [H, W], 0..255. */
  readonly mask: Uint8Array;
  readonly keypoints: PoseKeypoints;
  readonly joints: Joints3d;
}

/** Renders frame after frame, for clips of any length in constant memory. Throws UserError for an impossible size. */
export function* renderFrames(request: ClipRequest): Generator<ClipFrame, void, void> {
  const { identity, scene, motion, numFrames, width, height, fps = 16, startS = 0 } = request;
  if (![numFrames, width, height].every(Number.isInteger) || numFrames < 1 || width < 16 || height < 16) {
    throw new UserError(
      `cannot render ${numFrames} frames of ${width}x${height}; expected whole numbers, at least 1 frame of 16x16`,
    );
  }
  const bodyHeight = standingHeight(identity.body);
  const camera = cameraFor(scene, bodyHeight, width, height);
  const fineCamera = finer(camera, SUPERSAMPLE);
  const [fineWidth, fineHeight] = [width * SUPERSAMPLE, height * SUPERSAMPLE];
  const background = paintBackground(scene, fineCamera, fineWidth, fineHeight);
  const still = averageBackground(background, width, height);
  const detail = detailFor(fineCamera.focal / camera.distance);
  const buffer = new VisibilityBuffer(fineWidth, fineHeight);
  const shaded = createShadedPixels(fineWidth, fineHeight);
  const floorLight = new Float32Array(width * height);
  const mesh = new Mesh();
  const materials = makeMaterials(identity, headRadiusOf(identity.body));
  for (let f = 0; f < numFrames; f++) {
    const pose = motion.poseAt(startS + f / fps);
    const skeleton = solveSkeleton(identity.body, pose);
    buildFigure(mesh, identity, skeleton, pose, detail);
    buffer.draw(mesh, fineCamera);
    shadePixels(buffer, mesh, materials, scene.light, shaded);
    castShadow(skeleton, identity.body.height, camera, width, height, floorLight);
    const frame = compose(width, height, { background, still, floorLight, buffer, shaded });
    yield {
      ...frame,
      keypoints: keypointsOf(skeleton, camera, { width, height }, buffer, SUPERSAMPLE),
      joints: jointsOf(skeleton),
    };
  }
}

/** The background at the size of the output, RGB [H, W, 3]. */
function averageBackground(background: Float32Array, width: number, height: number): Float32Array {
  const still = new Float32Array(width * height * 3);
  for (let y = 0; y < height * SUPERSAMPLE; y++) {
    for (let x = 0; x < width * SUPERSAMPLE; x++) {
      const from = 3 * (y * width * SUPERSAMPLE + x);
      const to = 3 * (Math.floor(y / SUPERSAMPLE) * width + Math.floor(x / SUPERSAMPLE));
      for (let c = 0; c < 3; c++) still[to + c]! += background[from + c]! / SUPERSAMPLE ** 2;
    }
  }
  return still;
}

interface Layers {
  readonly background: Float32Array;
  readonly still: Float32Array;
  readonly floorLight: Float32Array;
  readonly buffer: VisibilityBuffer;
  readonly shaded: ReturnType<typeof createShadedPixels>;
}

/** Lays the person over the background and averages the fine grid. */
function compose(
  width: number,
  height: number,
  layers: Layers,
): Pick<ClipFrame, "image" | "handNormals" | "mask"> {
  const { background, still, floorLight, buffer, shaded } = layers;
  const { covered, colour, handNormal } = shaded;
  const size = width * height;
  const rgb = new Uint8ClampedArray(3 * size);
  const normals = new Uint8ClampedArray(3 * size);
  const mask = new Uint8Array(size);
  const fineWidth = width * SUPERSAMPLE;
  const samples = SUPERSAMPLE * SUPERSAMPLE;
  const [left, right] = [Math.floor(buffer.left / SUPERSAMPLE), Math.ceil(buffer.right / SUPERSAMPLE)];
  const [top, bottom] = [Math.floor(buffer.top / SUPERSAMPLE), Math.ceil(buffer.bottom / SUPERSAMPLE)];
  for (let i = 0; i < size; i++) {
    const light = floorLight[i]!;
    rgb[3 * i] = still[3 * i]! * light;
    rgb[3 * i + 1] = still[3 * i + 1]! * light;
    rgb[3 * i + 2] = still[3 * i + 2]! * light;
  }
  for (let y = top; y < bottom; y++) {
    for (let x = left; x < right; x++) {
      const i = y * width + x;
      let count = 0;
      let numHand = 0;
      let r = 0;
      let g = 0;
      let b = 0;
      let nx = 0;
      let ny = 0;
      let nz = 0;
      const light = floorLight[i]!;
      for (let s = 0; s < samples; s++) {
        const fine =
          (y * SUPERSAMPLE + Math.floor(s / SUPERSAMPLE)) * fineWidth + x * SUPERSAMPLE + (s % SUPERSAMPLE);
        const o = 3 * fine;
        if (covered[fine] === 0) {
          r += background[o]! * light;
          g += background[o + 1]! * light;
          b += background[o + 2]! * light;
          continue;
        }
        count++;
        r += Math.min(255, colour[o]!);
        g += Math.min(255, colour[o + 1]!);
        b += Math.min(255, colour[o + 2]!);
        const hx = handNormal[o]!;
        const hy = handNormal[o + 1]!;
        const hz = handNormal[o + 2]!;
        if (hx * hx + hy * hy + hz * hz > 0.5) numHand++;
        nx += hx;
        ny += hy;
        nz += hz;
      }
      if (count === 0) continue;
      rgb[3 * i] = r / samples;
      rgb[3 * i + 1] = g / samples;
      rgb[3 * i + 2] = b / samples;
      mask[i] = Math.round((255 * count) / samples);
      // half a pixel of hand or more: its mean direction, again of length 1
      if (2 * numHand >= samples) {
        const norm = 127.5 / Math.max(1e-6, Math.sqrt(nx * nx + ny * ny + nz * nz));
        normals[3 * i] = 127.5 + nx * norm;
        normals[3 * i + 1] = 127.5 + ny * norm;
        normals[3 * i + 2] = 127.5 + nz * norm;
      }
    }
  }
  const image = (data: Uint8ClampedArray): Image => ({
    width,
    height,
    channels: 3,
    data: new Uint8Array(data.buffer),
  });
  return { image: image(rgb), handNormals: image(normals), mask };
}

/** Renders a clip with its exact truth. The same request gives the same bytes. */
export function renderClip(request: ClipRequest): Clip {
  const { identity, scene, numFrames, width, height, fps = 16 } = request;
  const pixels = width * height;
  const frames = new Uint8Array(numFrames * pixels * 3);
  const handNormals = new Uint8Array(numFrames * pixels * 3);
  const mask = new Uint8Array(numFrames * pixels);
  const keypoints: PoseKeypoints[] = [];
  const joints: Joints3d[] = [];
  let f = 0;
  for (const frame of renderFrames(request)) {
    frames.set(frame.image.data, f * pixels * 3);
    handNormals.set(frame.handNormals.data, f * pixels * 3);
    mask.set(frame.mask, f * pixels);
    keypoints.push(frame.keypoints);
    joints.push(frame.joints);
    f++;
  }
  const { subject } = identity;
  const caption = describeClip(identity, scene);
  return { numFrames, width, height, fps, frames, handNormals, mask, keypoints, joints, caption, subject };
}

export interface ReferenceRequest {
  readonly identity: Identity;
  readonly scene: Scene;
  readonly width: number;
  readonly height: number;
  /** Small differences of the stance (default 0). */
  readonly stance?: number;
}

/** One picture of a person standing and facing the viewer in a scene, as a reference image shows them. */
export function renderReference({ stance = 0, ...request }: ReferenceRequest): ClipFrame {
  const [frame] = renderFrames({ ...request, motion: makeStanding(stance), numFrames: 1 });
  invariant(frame, "one frame was asked for");
  return frame;
}
