/** Which part of the driving video is used, and at which frame rate. */
import type { DecodeOptions, VideoInfo } from "../media/video.ts";
import { UserError } from "../tensor/errors.ts";
import { KeypointsFile } from "./keypoints-file.ts";

/** Part of a driving video, in seconds from its first frame. */
export interface Stretch extends Required<Pick<DecodeOptions, "startS" | "endS">> {
  readonly durationS: number;
}

export interface AskedStretch {
  readonly start?: number | undefined;
  readonly end?: number | undefined;
}

/** @throws UserError when the part lies behind the end of the video */
export function stretchOf({ start = 0, end = Infinity }: AskedStretch, { durationS }: VideoInfo): Stretch {
  if (start >= durationS) {
    throw new UserError(
      `start: got ${start} s, but the driving video ends at ${durationS.toFixed(2)} s; expected an earlier start`,
    );
  }
  return { startS: start, endS: end, durationS: Math.min(end, durationS) - start };
}

/**
 * Frames per second of the result.
 * @param asked `source`: those of the driving video, on average where its rate varies, or of the given poses
 */
export async function resolveRate(
  asked: number | "source" | undefined,
  usual: number,
  video: VideoInfo | null,
  keypoints: string | undefined,
): Promise<number> {
  if (asked !== "source") return asked ?? usual;
  if (video) return video.frameRate;
  return keypoints === undefined ? usual : (await KeypointsFile.open(keypoints)).fps;
}
