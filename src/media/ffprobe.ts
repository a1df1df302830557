import { resolve } from "node:path";
import { createInterface } from "node:readline";
import { z } from "zod";
import { startFfmpeg } from "./ffmpeg-process.ts";
import type { Fraction } from "./frame-rate.ts";
import { PacketSpan } from "./packet-span.ts";
import { checkSourceFile } from "./source-file.ts";
import {
  CONTAINER_FORMATS,
  damagedVideo,
  endsEarly,
  noFrames,
  notAVideo,
  type VideoInfo,
} from "./video-backend.ts";
import { orientationOf, type Orientation } from "./video-orientation.ts";

/** Options before a file to read: local files only, known containers only. */
export function inputOptions(path: string): string[] {
  return [
    ..."-protocol_whitelist file -format_whitelist".split(" "),
    CONTAINER_FORMATS,
    "-i",
    `file:${resolve(path)}`,
  ];
}

/** What reading a file through with ffprobe tells. */
export interface ProbedFile {
  readonly info: VideoInfo;
  readonly orientation: Orientation;
  /** Number of the video stream among all. */
  readonly streamIndex: number;
  /** Where the video stream begins in the file's own time, and where the earliest stream does. */
  readonly videoStartS: number;
  readonly fileStartS: number;
  readonly audioCodec: string | undefined;
  /** FFmpeg's name of the container. */
  readonly container: string;
}

const seconds = z.coerce.number().default(0);
const streamSchema = z.object({
  index: z.number(),
  codec_type: z.string().optional(),
  codec_name: z.string().default("unknown"),
  width: z.number().default(0),
  height: z.number().default(0),
  sample_aspect_ratio: z.string().default("0:1"),
  avg_frame_rate: z.string().default("0/0"),
  start_time: seconds,
  duration: seconds,
  disposition: z.object({ attached_pic: z.number().default(0) }).default({ attached_pic: 0 }),
  side_data_list: z.array(z.object({ displaymatrix: z.string().optional() })).default([]),
});
const headerSchema = z.object({
  streams: z.array(streamSchema).default([]),
  format: z.object({ format_name: z.string(), duration: seconds, start_time: seconds }),
});
type Header = z.infer<typeof headerSchema>;

/** Reads a file's header and all its packets, without decoding. Throws UserError. */
export async function probeFile(path: string, signal?: AbortSignal): Promise<ProbedFile> {
  await checkSourceFile(path, "video");
  const { streams, format } = await readHeader(path);
  const isFilm = (s: Header["streams"][number]) =>
    s.codec_type === "video" && s.disposition.attached_pic === 0;
  const video = streams.find(isFilm);
  if (!video) throw notAVideo(path, "it has no video stream");
  const matrix = video.side_data_list.find((data) => data.displaymatrix)?.displaymatrix;
  const orientation = orientationOf(path, {
    width: video.width,
    height: video.height,
    pixelAspect: fraction(video.sample_aspect_ratio),
    matrix: matrix === undefined ? undefined : displayMatrix(matrix),
  });
  const audioCodec = streams.find((s) => s.codec_type === "audio")?.codec_name;
  const rate = fraction(video.avg_frame_rate);
  const span = await readPackets(path, video.index, format, signal);
  if (span.numFrames === 0) throw noFrames(path);
  const { width, height, rotation } = orientation;
  const info: VideoInfo = {
    width,
    height,
    rotation,
    ...span.result(rate.num > 0 && rate.den > 0 ? rate.num / rate.den : 0, {
      streamS: video.duration,
      fileS: format.duration,
    }),
    hasAudio: audioCodec !== undefined,
    codec: video.codec_name,
  };
  return {
    info,
    orientation,
    streamIndex: video.index,
    videoStartS: video.start_time,
    fileStartS: format.start_time,
    audioCodec,
    container: format.format_name,
  };
}

async function readHeader(path: string): Promise<Header> {
  const probe = startFfmpeg("ffprobe", [
    "-v",
    "error",
    "-of",
    "json",
    "-show_streams",
    "-show_format",
    ...inputOptions(path),
  ]);
  const output = (await probe.stdout.setEncoding("utf8").toArray()).join("");
  const faults: string[] = [];
  for await (const line of probe.messages) faults.push(line);
  if ((await probe.ended) !== 0) throw notAVideo(path, faults.at(-1)?.split(": ").at(-1) ?? "ffprobe failed");
  return headerSchema.parse(JSON.parse(output));
}

/** Goes through the packets of all streams, as lines: stream, time, duration, flags. */
async function readPackets(path: string, videoIndex: number, format: Header["format"], signal?: AbortSignal) {
  const entries = ["-show_entries", "packet=stream_index,pts_time,duration_time,flags", "-of", "csv=p=0"];
  const probe = startFfmpeg("ffprobe", ["-v", "quiet", ...entries, ...inputOptions(path)]);
  const span = new PacketSpan();
  let numPackets = 0;
  let lastS = 0;
  let endsCorrupt = false;
  try {
    for await (const line of createInterface({ input: probe.stdout })) {
      signal?.throwIfAborted();
      const [stream, time = "", duration = "", flags = ""] = line.split(",");
      const [timeS, durationS] = [Number.parseFloat(time), Number.parseFloat(duration) || 0];
      if (!Number.isNaN(timeS)) lastS = Math.max(lastS, timeS + durationS);
      // Side data of a packet makes lines of its own, without a stream.
      if (stream !== String(videoIndex)) continue;
      numPackets += 1;
      endsCorrupt = flags.includes("C");
      if (!flags.includes("D")) span.add(timeS, durationS);
    }
  } finally {
    probe.kill();
  }
  if (endsCorrupt) throw damagedVideo(path, numPackets, "its last picture is cut off");
  if (endsEarly(format.format_name, lastS, format.duration)) {
    throw damagedVideo(path, numPackets, `it ends at ${lastS.toFixed(2)} of ${format.duration.toFixed(2)} s`);
  }
  return span;
}

/** "16:9" or "30000/1001". */
function fraction(text: string): Fraction {
  const [num = 0, den = 0] = text.split(/[:/]/).map(Number);
  return { num, den };
}

/** Lines such as "00000000: 0 65536 0"; the first column is the row's number. */
function displayMatrix(text: string): number[] {
  return text
    .trim()
    .split("\n")
    .flatMap((row) => row.trim().split(/\s+/).slice(1).map(Number));
}
