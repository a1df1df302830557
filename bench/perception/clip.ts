/** Rendered clips with their truth, and how cameras and cuts change them. */
import { type Performer, renderGroup } from "../../src/avatar/group.ts";
import { makeIdentity } from "../../src/avatar/identity.ts";
import { type Motion, makeMotion } from "../../src/avatar/motion.ts";
import { makeScene } from "../../src/avatar/scene.ts";
import { type Image, imageFromBytes } from "../../src/media/pixels.ts";
import { type PoseKeypoints, transformPose } from "../../src/media/pose-keypoints.ts";
import { crop } from "../../src/media/resize.ts";
import type { Point } from "../../src/perception/region.ts";

export const FPS = 16;
export const DURATION_S = 2;
export const NUM_FRAMES = FPS * DURATION_S;

/** Someone's truth in a frame. */
export interface Truth {
  readonly pose: PoseKeypoints;
  /** Share of the picture that shows them. */
  readonly share: number;
}

export interface Clip {
  readonly frames: readonly Image[];
  readonly fps: number;
  /** By frame, then by person; the person to follow is 0. */
  readonly truth: readonly (readonly Truth[])[];
}

type Place = (timeS: number) => { x: number; z: number };

/** Stands at a place: metres to the right of the middle and towards the viewer. */
export const still =
  (x: number, z = 0): Place =>
  () => ({ x, z });

export const walking =
  (from: number, to: number, z: number): Place =>
  (t) => ({ x: from + ((to - from) * t) / DURATION_S, z });

/** Out of the picture to the left, and back. */
export const away: Place = (t) => ({
  x: -0.5 - 2.6 * Math.sin(Math.PI * Math.min(1, Math.max(0, (t - 0.2) / 1.5))),
  z: 0,
});

/** A dancer, turned by an angle in radians. */
export function person(seed: number, placeAt: Place, turn = 0): Performer {
  const dance = makeMotion(seed, "varied");
  const motion: Motion =
    turn === 0 ? dance : { poseAt: (t) => ({ ...dance.poseAt(t), yaw: dance.poseAt(t).yaw + turn }) };
  return { identity: makeIdentity(seed), motion, placeAt };
}

export interface RenderOptions {
  readonly numFrames?: number;
  readonly fps?: number;
  readonly width?: number;
  readonly height?: number;
  /** Pictures per frame that are averaged, over half the time of a frame. */
  readonly blur?: number;
}

export function render(
  sceneSeed: number,
  people: readonly Performer[],
  { fps = FPS, numFrames = fps * DURATION_S, width = 512, height = 384, blur = 1 }: RenderOptions = {},
): Clip {
  const scene = { ...makeScene(sceneSeed), shot: "full body", span: [-0.12, 1.2] } as const;
  const perFrame = blur === 1 ? 1 : 2 * blur;
  const rate = { numFrames: numFrames * perFrame, fps: fps * perFrame };
  const all = [...renderGroup({ scene, people, ...rate, width, height })];
  const frames: Image[] = [];
  const truth: Truth[][] = [];
  for (let f = 0; f < numFrames; f++) {
    const open = all.slice(perFrame * f, perFrame * f + blur);
    frames.push(mean(open.map(({ image }) => image)));
    const middle = open[blur >> 1]!;
    truth.push(
      middle.people.map(({ keypoints, mask }) => ({
        pose: keypoints,
        share: mask.reduce((sum, m) => sum + m, 0) / 255 / mask.length,
      })),
    );
  }
  return { frames, fps, truth };
}

function mean(images: readonly Image[]): Image {
  if (images.length === 1) return images[0]!;
  const { width, height, data } = images[0]!;
  const out = data.map((_, i) => images.reduce((sum, image) => sum + image.data[i]!, 0) / images.length);
  return imageFromBytes(width, height, Uint8Array.from(out));
}

/** A camera that looks at four fifths of the picture, moving from frame to frame. */
export function filmed(clip: Clip, cornerAt: (frame: number) => Point): Clip {
  const boxes = clip.frames.map(({ width, height }, f) => ({
    left: Math.round(cornerAt(f).x),
    top: Math.round(cornerAt(f).y),
    width: Math.round(width * 0.8),
    height: Math.round(height * 0.8),
  }));
  return {
    ...clip,
    frames: clip.frames.map((image, f) => crop(image, boxes[f]!)),
    truth: clip.truth.map((people, f) =>
      people.map(({ pose, share }) => ({
        pose: transformPose(pose, { ...boxes[f]!, scaleX: 1, scaleY: 1 }),
        share,
      })),
    ),
  };
}

export function cut(first: Clip, second: Clip): Clip {
  return { ...first, frames: [...first.frames, ...second.frames], truth: [...first.truth, ...second.truth] };
}
