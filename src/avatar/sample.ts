import type { Image } from "../media/pixels.ts";
import { describeClip } from "./caption.ts";
import { renderFrames, renderReference } from "./clip.ts";
import { makeIdentity } from "./identity.ts";
import { makeMotion } from "./motion.ts";
import { makeScene } from "./scene.ts";

/** Seeds of the person and place of the reference, and of the dancer of the driving video; chosen by eye. */
const REFERENCE = { identity: 9, scene: 16 };
const DRIVER = { identity: 14, scene: 3, motion: 5 };

export interface SampleRequest {
  /** Pixels. */
  readonly width: number;
  readonly height: number;
  /** Length of the driving video in seconds (default 12). */
  readonly durationS?: number;
  /** Frames per second of the driving video (default 16). */
  readonly fps?: number;
}

/** What a first run needs: a picture of one person, and a video of another one dancing elsewhere. */
export interface Sample {
  readonly reference: Image;
  /** What the reference shows; a text prompt. */
  readonly prompt: string;
  readonly numFrames: number;
  readonly fps: number;
  /** The driving video, rendered as it is read. */
  readonly drivingFrames: Iterable<Image>;
}

/** Makes the sample reference and driving video; both show the whole body. */
export function renderSample({ width, height, durationS = 12, fps = 16 }: SampleRequest): Sample {
  const identity = makeIdentity(REFERENCE.identity);
  const scene = { ...makeScene(REFERENCE.scene), ...FULL_BODY };
  const numFrames = Math.ceil(durationS * fps);
  return {
    reference: renderReference({ identity, scene, width, height }).image,
    prompt: describeClip(identity, scene),
    numFrames,
    fps,
    drivingFrames: drivingFrames({ width, height, numFrames, fps }),
  };
}

const FULL_BODY = { shot: "full body", span: [-0.07, 1.16] } as const;

function* drivingFrames(size: {
  width: number;
  height: number;
  numFrames: number;
  fps: number;
}): Generator<Image> {
  const identity = makeIdentity(DRIVER.identity);
  const scene = { ...makeScene(DRIVER.scene), ...FULL_BODY };
  for (const { image } of renderFrames({ identity, scene, motion: makeMotion(DRIVER.motion), ...size }))
    yield image;
}
