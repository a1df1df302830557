import { UserError } from "../tensor/errors.ts";
import type { Image } from "./pixels.ts";

/** What a video file holds, as found by reading it through without decoding. */
export interface VideoInfo {
  /** Size as shown: after rotation, with square pixels. */
  readonly width: number;
  readonly height: number;
  /** Frames per second, the average when the rate varies. */
  readonly frameRate: number;
  /** Counted, one per coded picture that is shown. */
  readonly numFrames: number;
  /** From the first frame's start to the last frame's end. */
  readonly durationS: number;
  /** Clockwise turn from the coded picture to the shown one. Already applied to width and height, and by decoding. */
  readonly rotation: 0 | 90 | 180 | 270;
  readonly hasAudio: boolean;
  /** FFmpeg's name of the video codec, such as "h264". */
  readonly codec: string;
}

/** Sides of a picture in pixels. */
export type Size = Pick<Image, "width" | "height">;

/** One shown frame. `timeS` counts from the video's first frame. Frames may share `image.data`: do not draw on it. */
export interface VideoFrame {
  readonly image: Image;
  /** Of the frame as shown; that of `image` unless `longest` shrinks it. */
  readonly size: Size;
  readonly timeS: number;
}

/** Which frames to decode. */
export interface DecodeOptions {
  /**
   * Resample by time: output k shows what is on screen at startS + k/fps, that is the last frame that began at or
   * before then (0.001 s of tolerance for containers that round times). Without it every frame comes once.
   */
  readonly fps?: number;
  /** Seconds from the first frame; frames from startS on (default 0) and before endS (default the end) are given. */
  readonly startS?: number;
  readonly endS?: number;
  /** Longer side of the pictures in pixels, at most: larger ones are shrunk in proportion as they are decoded. */
  readonly longest?: number;
  readonly signal?: AbortSignal;
}

/** What to encode to: H.264, 4:2:0, BT.709, in MP4. */
export interface EncodeOptions {
  /** Even, as 4:2:0 needs. */
  readonly width: number;
  readonly height: number;
  readonly fps: number;
  /** x264's constant rate factor: 0 lossless .. 51, default 18. */
  readonly crf?: number;
  /** x264's preset, default `medium`; `ultrafast` takes a sixth of its time. */
  readonly preset?: "medium" | "ultrafast";
  /**
   * A file whose sound accompanies the frames: its first audio stream from `startS` on (seconds from its first video
   * frame, default 0), cut at the end of the last frame. It is copied as it is where MP4 holds its codec, and encoded as
   * AAC where it does not.
   */
  readonly audioFrom?: { readonly path: string; readonly startS?: number };
}

/** What became of the sound: `encoded` as AAC when MP4 cannot hold its codec, `unsupported` when it cannot be decoded. */
export type AudioOutcome = "none" | "copied" | "encoded" | "unsupported";

/**
 * Takes frames in order and writes one file. Until `close` resolves only a temporary file beside the path exists.
 * Memory does not grow with the number of frames. The same frames and options give the same bytes.
 */
export interface VideoEncoder {
  /** Throws UserError when the disk is full. */
  write(frame: Image): Promise<void>;
  /** Finishes the file and gives it its name. Throws UserError when no frame was written or the disk is full. */
  close(): Promise<{ numFrames: number; audio: AudioOutcome }>;
  /** Drops everything written. Harmless after `close`. */
  abort(): Promise<void>;
}

/** A way to reach FFmpeg. All implementations pass the same conformance suite. */
export interface VideoBackend {
  readonly name: "node-av" | "ffmpeg";
  probe(path: string, signal?: AbortSignal): Promise<VideoInfo>;
  decode(path: string, options?: DecodeOptions): AsyncGenerator<VideoFrame, void, undefined>;
  openEncoder(path: string, options: EncodeOptions): Promise<VideoEncoder>;
}

/** Frames larger than this are refused before they are decoded. */
export const MAX_FRAME_PIXELS = 100_000_000;

/**
 * Containers that are opened. Playlists, image sequences and session descriptions are not among them: they name
 * other files and addresses, and an untrusted file must not choose what is read.
 */
export const CONTAINER_FORMATS = [
  "mov,mp4,m4a,3gp,3g2,mj2",
  "matroska,webm",
  "avi",
  "mpegts",
  "mpeg",
  "mpegvideo",
  "m4v",
  "h264",
  "hevc",
  "ivf",
  "obu",
  "flv",
  "asf",
  "ogg",
  "mxf",
  "nut",
  "dv",
  "gif",
  "apng",
  "yuv4mpegpipe",
].join(",");

/**
 * x264 settings that all implementations share, chosen so that the same frames give the same bytes. One thread: with
 * more, the bytes depend on their number. No AVX: the AVX-512 code of x264 165 does not always decide alike.
 */
export function x264Options({
  crf = 18,
  preset = "medium",
}: Pick<EncodeOptions, "crf" | "preset">): Record<string, string | number> {
  const params = process.arch === "x64" ? { "x264-params": "asm=SSE4.2" } : {};
  return { preset, threads: "1", ...params, crf };
}

/** FFmpeg filters from RGB to what is encoded, with the same rounding on every processor. */
export const RGB_TO_BT709 =
  "scale=flags=bilinear+accurate_rnd+bitexact:out_color_matrix=bt709:out_range=tv,format=yuv420p";

/**
 * Audio codecs that MP4 holds so that players find the first and the last sample. Those of Opus and FLAC they do not
 * find, if they play them at all.
 */
export const MP4_AUDIO_CODECS = ["aac", "mp3", "ac3", "eac3", "alac"];

export function notAVideo(path: string, reason: string, cause?: unknown): UserError {
  return new UserError(
    `${path} cannot be read as a video: ${reason}; expected a whole MP4, MOV, MKV, WebM or the like`,
    {
      cause,
    },
  );
}

export function damagedVideo(path: string, numFrames: number, reason: string): UserError {
  return new UserError(
    `${path} is truncated or damaged: ${reason} after ${numFrames} frames; expected a whole video, copy it again or re-encode it`,
  );
}

/**
 * Whether a file stops before the length it declares. Only Matroska is judged: it ends silently where it is cut,
 * and its declared length is that of its own content. `lastS` is when the last packet of any stream ends.
 */
export function endsEarly(container: string, lastS: number, declaredS: number): boolean {
  return container.startsWith("matroska") && declaredS - lastS > Math.min(2, Math.max(0.5, declaredS / 10));
}

/** Whether a container has an index that leads to key frames. Elsewhere decoding begins at the start. */
export function hasSeekIndex(container: string): boolean {
  return container.startsWith("mov") || container.startsWith("matroska");
}

export function noFrames(path: string): UserError {
  return new UserError(`${path} has no video frames; expected a video of at least one frame`);
}

export function noFramesWritten(path: string): UserError {
  return new UserError(`no frame was given for ${path}; a video needs at least one`);
}

/** Checks the options of an encoder; throws UserError. */
export function checkEncodeOptions(path: string, { width, height, fps, crf = 18 }: EncodeOptions): void {
  if (!path.toLowerCase().endsWith(".mp4"))
    throw new UserError(`cannot write ${path}: its extension must be .mp4`);
  for (const size of [width, height]) {
    if (!Number.isInteger(size) || size < 2 || size % 2 !== 0) {
      throw new UserError(
        `cannot write a ${width}x${height} video: H.264 4:2:0 needs an even width and height`,
      );
    }
  }
  if (!(fps > 0 && fps <= 1000))
    throw new UserError(`cannot write a video of ${fps} frames per second; expected 0 to 1000`);
  if (!(crf >= 0 && crf <= 51)) throw new UserError(`crf is ${crf}; expected 0 (lossless) to 51`);
}

/** Checks the options of decoding; throws UserError. */
export function checkDecodeOptions({ fps, startS = 0, endS = Infinity, longest = 1 }: DecodeOptions): void {
  if (fps !== undefined && !(fps > 0 && fps <= 1000)) {
    throw new UserError(`cannot sample a video at ${fps} frames per second; expected 0 to 1000`);
  }
  if (!(startS >= 0 && endS > startS)) {
    throw new UserError(`cannot decode from ${startS} s to ${endS} s; expected 0 <= start < end`);
  }
  if (!(longest >= 1)) throw new UserError(`cannot shrink frames to ${longest} pixels; expected 1 or more`);
}

/** Checks a frame given to an encoder; throws UserError. */
export function checkFrame(frame: Image, { width, height }: EncodeOptions): void {
  if (frame.width !== width || frame.height !== height) {
    throw new UserError(
      `got a ${frame.width}x${frame.height} frame for a ${width}x${height} video; resize it first`,
    );
  }
}
