import type { Image } from "../media/pixels.ts";
import type { PoseKeypoints } from "../media/pose-keypoints.ts";
import { invariant } from "../tensor/errors.ts";
import { describeClip } from "./caption.ts";
import { renderGroup } from "./group.ts";
import type { Identity } from "./identity.ts";
import type { Joints3d } from "./keypoints.ts";
import { makeStanding, type Motion } from "./motion.ts";
import type { Scene } from "./scene.ts";

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
export function* renderFrames({
  identity,
  motion,
  ...request
}: ClipRequest): Generator<ClipFrame, void, void> {
  for (const { image, handNormals, people } of renderGroup({ ...request, people: [{ identity, motion }] })) {
    yield { image, handNormals, ...people[0]! };
  }
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
