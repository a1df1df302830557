import { readFileSync } from "node:fs";
import {
  AV_CHANNEL_ORDER_NATIVE,
  AV_CODEC_FLAG_GLOBAL_HEADER,
  AV_SAMPLE_FMT_FLT,
  AV_SAMPLE_FMT_FLTP,
  AV_SAMPLE_FMT_S16,
  AVMEDIA_TYPE_AUDIO,
  FF_ENCODER_AAC,
  FF_ENCODER_FLAC,
  FF_ENCODER_LIBOPUS,
  FF_ENCODER_LIBVORBIS,
  FF_ENCODER_LIBX264,
  FF_ENCODER_PCM_S16LE,
  type FFEncoderCodec,
} from "node-av/constants";
import {
  avGetPixFmtFromName,
  Codec,
  CodecContext,
  Dictionary,
  FormatContext,
  Frame,
  Packet,
  Rational,
  type Stream,
} from "node-av/lib";
import { UserError } from "../tensor/errors.ts";
import { hasFfmpeg } from "./ffmpeg-process.ts";
import { check, FrameFilter } from "./node-av-filter.ts";
import { rgbFrame } from "./node-av-h264.ts";
import { createImage, type Image } from "./pixels.ts";
import type {
  AudioOutcome,
  DecodeOptions,
  EncodeOptions,
  VideoBackend,
  VideoFrame,
} from "./video-backend.ts";
import { ffmpegBackend } from "./video-ffmpeg.ts";
import { nodeAvBackend } from "./video-node-av.ts";

/** How a test video departs from what the project's own encoder writes. The container follows the extension. */
export interface SampleVideo {
  readonly frames: readonly Image[];
  /** When each frame begins; whole milliseconds survive. */
  readonly timesS: readonly number[];
  readonly codec?: FFEncoderCodec;
  readonly pixelFormat?: "yuv420p" | "yuv444p" | "yuv422p10le" | "bgr8";
  /** A tone beside the pictures, as long as given. */
  readonly audio?: { readonly codec: SampleSound; readonly lengthS: number; readonly rate?: number };
}

/** Codecs of a sample's sound. */
const SOUND_ENCODERS = {
  aac: { name: FF_ENCODER_AAC, format: AV_SAMPLE_FMT_FLTP },
  pcm_s16le: { name: FF_ENCODER_PCM_S16LE, format: AV_SAMPLE_FMT_S16 },
  vorbis: { name: FF_ENCODER_LIBVORBIS, format: AV_SAMPLE_FMT_FLTP },
  opus: { name: FF_ENCODER_LIBOPUS, format: AV_SAMPLE_FMT_FLT },
  flac: { name: FF_ENCODER_FLAC, format: AV_SAMPLE_FMT_S16 },
} as const;

export type SampleSound = keyof typeof SOUND_ENCODERS;

const BLOCK = 8;

/** A frame that tells its number, 0..255, through any codec: one black or white block per binary digit. */
export function numberedFrame(number: number, width = 96, height = 64): Image {
  const image = createImage(width, height, [90, 120, 60]);
  for (let bit = 0; bit < 8; bit++) {
    const level = (number >> bit) & 1 ? 235 : 16;
    for (let y = 0; y < BLOCK; y++) {
      const row = (y * width + bit * BLOCK) * 3;
      image.data.fill(level, row, row + BLOCK * 3);
    }
  }
  return image;
}

/** The number that `numberedFrame` drew. */
export function frameNumber({ width, data }: Image): number {
  let number = 0;
  for (let bit = 0; bit < 8; bit++) {
    if (data[((BLOCK / 2) * width + bit * BLOCK + BLOCK / 2) * 3]! > 128) number |= 1 << bit;
  }
  return number;
}

/** The frames numbered 0, 1, 2 ... */
export const numberedFrames = (count: number, width?: number, height?: number): Image[] =>
  Array.from({ length: count }, (_, n) => numberedFrame(n, width, height));

/** Writes a video of any codec, pixel format, times and container that FFmpeg knows, with or without frames. */
export async function writeSampleVideo(path: string, sample: SampleVideo): Promise<void> {
  const { frames, timesS, codec = FF_ENCODER_LIBX264, pixelFormat = "yuv420p", audio } = sample;
  const format = new FormatContext();
  check(format.allocOutputContext2(null, null, path), "opening the sample");
  const size = frames[0] ?? { width: 64, height: 48 };
  const video = await openCodec(codec, (context) => {
    Object.assign(context, {
      width: size.width,
      height: size.height,
      pixelFormat: avGetPixFmtFromName(pixelFormat),
    });
    context.framerate = new Rational(25, 1);
  });
  const rate = audio?.rate ?? SAMPLE_RATE;
  const sound = audio && (await openCodec(SOUND_ENCODERS[audio.codec].name, monoTone(audio.codec, rate)));
  const videoStream = addStream(format, video);
  const soundStream = sound && addStream(format, sound);
  check(format.openOutputSync(), "opening the sample");
  check(format.writeHeaderSync(), "writing the sample's header");
  if (sound && soundStream) {
    const tones = toneFrames(audio.codec, rate, audio.lengthS, sound.frameSize || 1024);
    await muxAll(format, sound, soundStream, tones);
  }
  await muxAll(format, video, videoStream, pictures(frames, timesS, pixelFormat));
  check(format.writeTrailerSync(), "finishing the sample");
  format.closeOutputSync();
  format.freeContext();
  video.freeContext();
  sound?.freeContext();
}

async function openCodec(
  name: FFEncoderCodec,
  configure: (context: CodecContext) => void,
): Promise<CodecContext> {
  const codec = Codec.findEncoderByName(name)!;
  const context = new CodecContext();
  context.allocContext3(codec);
  context.timeBase = new Rational(1, 1000);
  context.threadCount = 1;
  configure(context);
  context.setFlags(AV_CODEC_FLAG_GLOBAL_HEADER);
  check(await context.open2(codec, Dictionary.fromObject({ crf: 10 })), `opening ${name}`);
  return context;
}

const SAMPLE_RATE = 8000;
const MONO = { nbChannels: 1, order: AV_CHANNEL_ORDER_NATIVE, mask: 4n };

const monoTone = (codec: SampleSound, rate: number) => (context: CodecContext) => {
  context.sampleRate = rate;
  context.sampleFormat = SOUND_ENCODERS[codec].format;
  context.channelLayout = MONO;
  context.timeBase = new Rational(1, rate);
};

function addStream(format: FormatContext, context: CodecContext): Stream {
  const stream = format.newStream(null);
  check(stream.codecpar.fromContext(context), "describing a stream");
  stream.timeBase = context.timeBase;
  return stream;
}

/** Sample n of a sample's sound: a tone that rises, so that no two parts of it are alike. */
export const toneAt = (n: number): number => Math.sin(n * 0.3 + (n / 900) ** 2) / 2;

function* toneFrames(
  codec: SampleSound,
  rate: number,
  lengthS: number,
  numSamples: number,
): Generator<Frame> {
  const { format } = SOUND_ENCODERS[codec];
  for (let start = 0; start < lengthS * rate; start += numSamples) {
    const wave = Array.from({ length: numSamples }, (_, i) => toneAt(start + i));
    const samples =
      format === AV_SAMPLE_FMT_S16 ? Int16Array.from(wave, (v) => v * 32767) : Float32Array.from(wave);
    yield Frame.fromAudioBuffer(Buffer.from(samples.buffer), {
      nbSamples: numSamples,
      format,
      sampleRate: rate,
      channelLayout: MONO,
      pts: BigInt(start),
      timeBase: { num: 1, den: rate },
    });
  }
}

async function* pictures(frames: readonly Image[], timesS: readonly number[], pixelFormat: string) {
  const filter = new FrameFilter(
    `scale=flags=bilinear:out_color_matrix=bt601:out_range=tv,format=${pixelFormat}`,
  );
  for (const [i, image] of frames.entries()) {
    const rgb = rgbFrame(image);
    const frame = await filter.convert(rgb);
    const [startMs, endMs] = [timesS[i]!, timesS[i + 1] ?? timesS[i]! + 0.04].map((s) =>
      Math.round(s * 1000),
    );
    frame.pts = BigInt(startMs!);
    frame.duration = BigInt(endMs! - startMs!);
    rgb.free();
    yield frame;
  }
  filter.free();
}

async function muxAll(
  format: FormatContext,
  context: CodecContext,
  stream: Stream,
  frames: Iterable<Frame> | AsyncIterable<Frame>,
): Promise<void> {
  const packet = new Packet();
  packet.alloc();
  const durations = new Map<bigint, bigint>();
  const drain = () => {
    while (context.receivePacketSync(packet) === 0) {
      packet.streamIndex = stream.index;
      packet.duration = durations.get(packet.pts) ?? packet.duration;
      packet.rescaleTs(context.timeBase, stream.timeBase);
      check(format.interleavedWriteFrameSync(packet), "writing the sample");
    }
  };
  for await (const frame of frames) {
    durations.set(frame.pts, frame.duration);
    check(context.sendFrameSync(frame), "encoding the sample");
    frame.free();
    drain();
  }
  check(context.sendFrameSync(null), "encoding the sample");
  drain();
  packet.free();
}

/** Sets the display matrix of an MP4's only track: `degrees` clockwise, as phones mark pictures held upright. */
export function turnedMp4(path: string, degrees: 90 | 180 | 270): Buffer {
  const file = Buffer.from(readFileSync(path));
  const header = file.indexOf("tkhd") + 4;
  const [cos, sin] = { 90: [0, 1], 180: [-1, 0], 270: [0, -1] }[degrees] as [number, number];
  // Version 0: flags 4, times 8, track 4, reserved 4, duration 4, reserved 8, layer group volume reserved 8.
  const matrix = header + 40;
  [cos, sin, 0, -sin, cos].forEach((value, i) => file.writeInt32BE(value * 65536, matrix + i * 4));
  return file;
}

/** The bytes of every audio packet of a file, with their times. */
export function audioPackets(path: string): { timeS: number; data: string }[] {
  const format = new FormatContext();
  format.allocContext();
  check(format.openInputSync(path), `opening ${path}`);
  check(format.findStreamInfoSync(), `opening ${path}`);
  const index = format.findBestStream(AVMEDIA_TYPE_AUDIO);
  const packet = new Packet();
  packet.alloc();
  const packets: { timeS: number; data: string }[] = [];
  while (format.readFrameSync(packet) === 0) {
    const timeBase = format.streams[packet.streamIndex]!.timeBase.toDouble();
    if (packet.streamIndex === index) {
      packets.push({ timeS: Number(packet.pts) * timeBase, data: packet.data!.toString("base64") });
    }
    packet.unref();
  }
  packet.free();
  format.closeInputSync();
  return packets;
}

/** The first channel of a file's sound as players hear it, and when it begins. */
export async function audibleSamples(
  path: string,
): Promise<{ startS: number; rate: number; samples: number[] }> {
  const format = new FormatContext();
  format.allocContext();
  check(format.openInputSync(path), `opening ${path}`);
  check(format.findStreamInfoSync(), `opening ${path}`);
  const stream = format.streams[format.findBestStream(AVMEDIA_TYPE_AUDIO)]!;
  const decoder = new CodecContext();
  decoder.allocContext3(Codec.findDecoder(stream.codecpar.codecId)!);
  check(stream.codecpar.toContext(decoder), `opening ${path}`);
  decoder.pktTimebase = stream.timeBase;
  check(await decoder.open2(null), `opening ${path}`);
  const samples: number[] = [];
  let startS = Number.NaN;
  const drain = (): void => {
    for (;;) {
      const frame = new Frame();
      frame.alloc();
      if (decoder.receiveFrameSync(frame) !== 0) return frame.free();
      if (samples.length === 0) startS = Number(frame.pts) * stream.timeBase.toDouble();
      const plane = frame.data![0]!;
      for (let i = 0; i < frame.nbSamples; i++) {
        samples.push(
          frame.format === AV_SAMPLE_FMT_S16 ? plane.readInt16LE(2 * i) / 32768 : plane.readFloatLE(4 * i),
        );
      }
      frame.free();
    }
  };
  const packet = new Packet();
  packet.alloc();
  while (format.readFrameSync(packet) === 0) {
    if (packet.streamIndex === stream.index) {
      check(decoder.sendPacketSync(packet), "decoding the sound");
      drain();
    }
    packet.unref();
  }
  decoder.sendPacketSync(null);
  drain();
  packet.free();
  const rate = stream.codecpar.sampleRate;
  decoder.freeContext();
  format.closeInputSync();
  return { startS, rate, samples };
}

/** The implementations to hold to the suites: the bindings always, and ffmpeg where PATH has it. */
export async function presentBackends(): Promise<VideoBackend[]> {
  return [nodeAvBackend, ...((await hasFfmpeg()) ? [ffmpegBackend] : [])];
}

export async function decodeAll(
  backend: VideoBackend,
  path: string,
  options?: DecodeOptions,
): Promise<VideoFrame[]> {
  const frames: VideoFrame[] = [];
  for await (const frame of backend.decode(path, options)) frames.push(frame);
  return frames;
}

/** Writes frames at their own size, 25 a second unless told. */
export async function encodeAll(
  backend: VideoBackend,
  path: string,
  frames: readonly Image[],
  options?: Partial<EncodeOptions>,
): Promise<{ numFrames: number; audio: AudioOutcome }> {
  const { width, height } = frames[0]!;
  const encoder = await backend.openEncoder(path, { width, height, fps: 25, ...options });
  for (const frame of frames) await encoder.write(frame);
  return encoder.close();
}

/** The message of the UserError that `work` must end in. */
export async function refusalOf(work: Promise<unknown>): Promise<string> {
  const failure = await work.then(
    () => new Error("nothing was refused"),
    (error: unknown) => error,
  );
  if (failure instanceof UserError) return failure.message;
  throw failure;
}
