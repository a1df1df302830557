import { UserError } from "../tensor/errors.ts";
import { readAhead } from "./read-ahead.ts";
import type {
  DecodeOptions,
  EncodeOptions,
  VideoBackend,
  VideoEncoder,
  VideoFrame,
  VideoInfo,
} from "./video-backend.ts";
import { writeBehind } from "./write-behind.ts";

export type {
  AudioOutcome,
  DecodeOptions,
  EncodeOptions,
  Size,
  VideoBackend,
  VideoEncoder,
  VideoFrame,
  VideoInfo,
} from "./video-backend.ts";
export { shrunkSize } from "./video-orientation.ts";

/**
 * The implementation that this machine offers: the bindings, or `ffmpeg` on PATH where npm has no binary for the
 * platform. Throws UserError when there is neither.
 */
export async function videoBackend(): Promise<VideoBackend> {
  chosen ??= choose();
  return chosen;
}

/**
 * Reads a video through without decoding. Throws UserError for a file that is missing, empty, truncated, no video,
 * without frames, or of absurd size.
 */
export async function probeVideo(path: string, signal?: AbortSignal): Promise<VideoInfo> {
  return (await videoBackend()).probe(path, signal);
}

/** Frames that are decoded while the one before them is in use. */
const DECODED_AHEAD = 2;

/**
 * Upright RGB frames with square pixels, one at a time: memory does not grow with length. The next two are decoded
 * while one is in use. See `DecodeOptions` for resampling by time. Throws UserError as `probeVideo` does, for a
 * truncated file at its end at the latest.
 */
export async function* decodeVideo(
  path: string,
  options: DecodeOptions = {},
): AsyncGenerator<VideoFrame, void, undefined> {
  yield* readAhead((await videoBackend()).decode(path, options), DECODED_AHEAD);
}

/**
 * Opens an MP4 to write frames into; see `VideoEncoder`. A frame is encoded while the next one is made: leave it as it
 * is. Throws UserError for odd sizes and places not writable.
 */
export async function openVideoEncoder(path: string, options: EncodeOptions): Promise<VideoEncoder> {
  return writeBehind(await (await videoBackend()).openEncoder(path, options));
}

let chosen: Promise<VideoBackend> | undefined;

async function choose(): Promise<VideoBackend> {
  try {
    return (await import("./video-node-av.ts")).nodeAvBackend;
  } catch (cause) {
    const [{ hasFfmpeg }, { ffmpegBackend }] = await Promise.all([
      import("./ffmpeg-process.ts"),
      import("./video-ffmpeg.ts"),
    ]);
    if (await hasFfmpeg()) return ffmpegBackend;
    throw new UserError(
      "no way to read videos: node-av has no binary for this platform and ffmpeg is not on PATH; install FFmpeg 5.1 or newer",
      { cause },
    );
  }
}
