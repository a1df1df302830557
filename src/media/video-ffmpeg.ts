import type { Readable } from "node:stream";
import { openFfmpegEncoder } from "./encode-ffmpeg.ts";
import { startFfmpeg } from "./ffmpeg-process.ts";
import { inputOptions, probeFile, type ProbedFile } from "./ffprobe.ts";
import { sampleFrames, type TimedContent } from "./frame-sampler.ts";
import { imageFromBytes, type Image } from "./pixels.ts";
import {
  checkDecodeOptions,
  damagedVideo,
  hasSeekIndex,
  type DecodeOptions,
  type VideoBackend,
  type VideoFrame,
} from "./video-backend.ts";
import { rgbFilters, shrunkSize } from "./video-orientation.ts";

/** FFmpeg (5.1 or newer) through the `ffmpeg` and `ffprobe` found on PATH: raw frames over pipes. */
export const ffmpegBackend: VideoBackend = {
  name: "ffmpeg",
  probe: async (path, signal) => (await probeFile(path, signal)).info,
  decode,
  openEncoder: openFfmpegEncoder,
};

async function* decode(
  path: string,
  options: DecodeOptions = {},
): AsyncGenerator<VideoFrame, void, undefined> {
  checkDecodeOptions(options);
  const file = await probeFile(path, options.signal);
  const size = { width: file.info.width, height: file.info.height };
  yield* sampleFrames(
    path,
    (startS) => decodeFrom(path, file, startS, options),
    options,
    async (image) => ({ image, size }),
    () => {},
  );
}

/** Decodes every frame from the key frame at or before `startS`. The times come from the showinfo filter's log. */
async function* decodeFrom(
  path: string,
  { info, orientation, streamIndex, videoStartS, fileStartS, container }: ProbedFile,
  startS: number,
  { longest, signal }: DecodeOptions,
): AsyncGenerator<TimedContent<Image>, void, undefined> {
  const { width, height } = shrunkSize(orientation, longest);
  const filters = rgbFilters(orientation, { width, height });
  const seek =
    startS > 0 && hasSeekIndex(container)
      ? ["-noaccurate_seek", "-ss", String(startS + videoStartS - fileStartS)]
      : [];
  const source = ["-noautorotate", "-copyts", ...seek, ...inputOptions(path)];
  const output =
    `-map 0:${streamIndex} -vf showinfo,${filters} -fps_mode passthrough -f rawvideo pipe:1`.split(" ");
  const ffmpeg = startFfmpeg("ffmpeg", ["-nostdin", "-nostats", "-v", "level+info", ...source, ...output]);
  let numFrames = 0;
  const checkFault = (line: string) => {
    // Recordings may begin in the middle of a group of pictures: faults before the first frame are forgiven.
    // Transport streams mark gaps as corrupt and go on; elsewhere that is a cut.
    const isCut = container !== "mpegts" && line.includes("corrupt input packet");
    const fault = isCut
      ? "a picture is cut off"
      : /Error (?:while decoding|submitting).*: (.*)/.exec(line)?.[1];
    if (fault !== undefined && numFrames > 0) throw damagedVideo(path, numFrames, fault);
  };
  try {
    for await (const data of chunksOf(ffmpeg.stdout, width * height * 3)) {
      signal?.throwIfAborted();
      const timeS = (await nextTime(ffmpeg.messages, checkFault)) - videoStartS;
      numFrames += 1;
      yield {
        content: imageFromBytes(width, height, data),
        timeS,
        durationS: Math.max(0, info.durationS - timeS),
      };
    }
    for await (const line of ffmpeg.messages) checkFault(line);
  } finally {
    ffmpeg.kill();
  }
}

async function nextTime(
  messages: AsyncIterableIterator<string>,
  checkFault: (line: string) => void,
): Promise<number> {
  for (;;) {
    const { value, done } = await messages.next();
    if (done) return Number.NaN;
    const time = /showinfo.* pts_time:(\S+)/.exec(value)?.[1];
    if (time !== undefined) return Number.parseFloat(time);
    checkFault(value);
  }
}

/** Whole chunks of `size` bytes, each its own memory. */
async function* chunksOf(stream: Readable, size: number): AsyncGenerator<Uint8Array, void, undefined> {
  let chunk = new Uint8Array(size);
  let filled = 0;
  for await (const piece of stream as AsyncIterable<Buffer>) {
    for (let at = 0; at < piece.length;) {
      const part = piece.subarray(at, at + size - filled);
      chunk.set(part, filled);
      filled += part.length;
      at += part.length;
      if (filled < size) continue;
      yield chunk;
      chunk = new Uint8Array(size);
      filled = 0;
    }
  }
}
