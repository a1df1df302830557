/** Avatar clips and references as files. */
import { describeClip } from "../avatar/caption.ts";
import { renderFrames, renderReference } from "../avatar/clip.ts";
import { makeIdentity } from "../avatar/identity.ts";
import { makeMotion } from "../avatar/motion.ts";
import { makeScene } from "../avatar/scene.ts";
import { writeImage } from "../media/image.ts";
import { openVideoEncoder } from "../media/video.ts";

export interface AvatarRequest {
  /** Seeds. */
  readonly person: number;
  readonly scene: number;
  readonly width: number;
  readonly height: number;
  readonly out: string;
}

export interface AvatarClipRequest extends AvatarRequest {
  /** Seed. */
  readonly motion: number;
  readonly seconds: number;
  readonly fps: number;
}

/** Writes an MP4. Returns what it shows, in words. */
export async function writeAvatarClip(request: AvatarClipRequest): Promise<string> {
  const { width, height, fps, seconds, out } = request;
  const identity = makeIdentity(request.person);
  const scene = makeScene(request.scene);
  const motion = makeMotion(request.motion);
  const frames = renderFrames({
    identity,
    scene,
    motion,
    numFrames: Math.round(seconds * fps),
    width,
    height,
    fps,
  });
  const encoder = await openVideoEncoder(out, { width, height, fps });
  try {
    for (const { image } of frames) await encoder.write(image);
    await encoder.close();
  } finally {
    await encoder.abort();
  }
  return describeClip(identity, scene);
}

/** Writes a PNG or JPEG of a standing person. Returns what it shows, in words. */
export async function writeAvatarReference({
  person,
  scene,
  width,
  height,
  out,
}: AvatarRequest): Promise<string> {
  const [identity, place] = [makeIdentity(person), makeScene(scene)];
  await writeImage(out, renderReference({ identity, scene: place, width, height }).image);
  return describeClip(identity, place);
}
