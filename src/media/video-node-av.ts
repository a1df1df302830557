import { availableParallelism } from "node:os";
import {
  AV_NOPTS_VALUE,
  AV_PKT_FLAG_CORRUPT,
  AV_PKT_FLAG_DISCARD,
  AV_TIME_BASE,
  AVERROR_EOF,
  AVMEDIA_TYPE_AUDIO,
  AVSEEK_FLAG_BACKWARD,
} from "node-av/constants";
import { avGetCodecName, Codec, CodecContext, FFmpegError, Frame, Packet } from "node-av/lib";
import { openNodeAvEncoder } from "./encode-node-av.ts";
import { sampleFrames, type TimedContent } from "./frame-sampler.ts";
import { check, FrameFilter, NEEDS_MORE } from "./node-av-filter.ts";
import { openSource, type Source } from "./node-av-source.ts";
import { type DeclaredLength, PacketSpan, untilDeclared } from "./packet-span.ts";
import { imageFromBytes, type Image } from "./pixels.ts";
import {
  checkDecodeOptions,
  damagedVideo,
  endsEarly,
  hasSeekIndex,
  noFrames,
  notAVideo,
  type DecodeOptions,
  type VideoBackend,
  type VideoFrame,
  type VideoInfo,
} from "./video-backend.ts";
import { rgbFilters, shrunkSize } from "./video-orientation.ts";

/** FFmpeg through the node-av bindings: in this process, its work on libuv's threads. */
export const nodeAvBackend: VideoBackend = { name: "node-av", probe, decode, openEncoder: openNodeAvEncoder };

async function probe(path: string, signal?: AbortSignal): Promise<VideoInfo> {
  const source = await openSource(path);
  const { stream, format } = source;
  try {
    const { width, height, rotation } = source.orientation;
    const timeBase = stream.timeBase.toDouble();
    const span = new PacketSpan();
    for await (const packet of videoPackets(source, signal)) {
      if (packet.flags & AV_PKT_FLAG_DISCARD) continue;
      const time = packet.pts === AV_NOPTS_VALUE ? Number.NaN : Number(packet.pts);
      span.add(time * timeBase, Number(packet.duration) * timeBase);
    }
    if (span.numFrames === 0) throw noFrames(path);
    const average = stream.avgFrameRate;
    const frameRate = average.num > 0 && average.den > 0 ? average.toDouble() : 0;
    const hasAudio = format.findBestStream(AVMEDIA_TYPE_AUDIO) >= 0;
    const codec = avGetCodecName(stream.codecpar.codecId) ?? "unknown";
    return { width, height, rotation, ...span.result(frameRate, declaredLength(source)), hasAudio, codec };
  } finally {
    await format.closeInput();
  }
}

async function* decode(
  path: string,
  options: DecodeOptions = {},
): AsyncGenerator<VideoFrame, void, undefined> {
  checkDecodeOptions(options);
  const header = await openSource(path);
  await header.format.closeInput();
  const { orientation } = header;
  const size = { width: orientation.width, height: orientation.height };
  const filter = new FrameFilter(rgbFilters(orientation, shrunkSize(size, options.longest)));
  try {
    yield* sampleFrames(
      path,
      (startS) => decodeFrom(path, startS, options.signal),
      options,
      async (frame) => ({ image: await rgbImage(filter, frame), size }),
      (frame) => frame.free(),
    );
  } finally {
    filter.free();
  }
}

async function rgbImage(filter: FrameFilter, frame: Frame): Promise<Image> {
  const rgb = await filter.convert(frame);
  try {
    const bytes = rgb.toBuffer();
    return imageFromBytes(
      rgb.width,
      rgb.height,
      new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length),
    );
  } finally {
    rgb.free();
  }
}

/** Decodes every frame from the key frame at or before `startS`; the receiver frees them. */
async function* decodeFrom(
  path: string,
  startS: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<TimedContent<Frame>, void, undefined> {
  const source = await openSource(path);
  try {
    await seek(source, startS);
    const decoder = await openDecoder(source);
    try {
      yield* decodeAll(source, decoder, signal);
    } finally {
      decoder.freeContext();
    }
  } finally {
    await source.format.closeInput();
  }
}

async function seek({ format, stream }: Source, startS: number): Promise<void> {
  if (startS === 0 || stream.startTime === AV_NOPTS_VALUE || !hasSeekIndex(format.iformat?.name ?? ""))
    return;
  const target = stream.startTime + BigInt(Math.floor(startS / stream.timeBase.toDouble()));
  // Where that fails the file stays at its start.
  await format.seekFrame(stream.index, target, AVSEEK_FLAG_BACKWARD);
}

/** Decodes every frame from where the file stands. */
async function* decodeAll(
  source: Source,
  decoder: CodecContext,
  signal: AbortSignal | undefined,
): AsyncGenerator<TimedContent<Frame>, void, undefined> {
  const clock = frameClock(source);
  let numFrames = 0;
  const fail = (status: number) => {
    // Recordings may begin in the middle of a group of pictures: faults before the first frame are forgiven.
    if (numFrames > 0) throw damagedVideo(source.path, numFrames, FFmpegError.strerror(status));
  };
  async function* drain(): AsyncGenerator<TimedContent<Frame>, void, undefined> {
    for (;;) {
      const frame = new Frame();
      frame.alloc();
      const status = await decoder.receiveFrame(frame);
      if (status === 0) {
        numFrames += 1;
        yield clock(frame);
        continue;
      }
      frame.free();
      if (status !== NEEDS_MORE && status !== AVERROR_EOF) fail(status);
      return;
    }
  }
  for await (const packet of videoPackets(source, signal)) {
    const status = await decoder.sendPacket(packet);
    if (status < 0) fail(status);
    yield* drain();
  }
  await decoder.sendPacket(null);
  yield* drain();
}

async function openDecoder({ path, stream }: Source): Promise<CodecContext> {
  const codec = Codec.findDecoder(stream.codecpar.codecId);
  if (!codec)
    throw notAVideo(path, `its codec ${avGetCodecName(stream.codecpar.codecId) ?? "?"} is not known`);
  const decoder = new CodecContext();
  decoder.allocContext3(codec);
  try {
    check(stream.codecpar.toContext(decoder), `opening ${path}`);
    decoder.pktTimebase = stream.timeBase;
    decoder.threadCount = Math.min(4, availableParallelism());
    const opened = await decoder.open2(codec);
    if (opened < 0) throw notAVideo(path, FFmpegError.strerror(opened));
    return decoder;
  } catch (error) {
    decoder.freeContext();
    throw error;
  }
}

/** Gives frames their times, counted from the stream's first; where a container has none, they follow each other. */
function frameClock(source: Source): (frame: Frame) => TimedContent<Frame> {
  const { stream } = source;
  const timeBase = stream.timeBase.toDouble();
  const usualS = stream.avgFrameRate.num > 0 ? 1 / stream.avgFrameRate.toDouble() : 1 / 25;
  const declared = declaredLength(source);
  let origin = stream.startTime;
  let nextS = 0;
  return (frame) => {
    const time = frame.bestEffortTimestamp;
    if (origin === AV_NOPTS_VALUE) origin = time;
    const timeS = time === AV_NOPTS_VALUE ? nextS : Number(time - origin) * timeBase;
    const ownS = frame.duration > 0n ? Number(frame.duration) * timeBase : usualS;
    const durationS = untilDeclared(timeS, ownS, usualS, declared);
    nextS = timeS + durationS;
    return { content: frame, timeS, durationS };
  };
}

function declaredLength({ stream, format }: Source): DeclaredLength {
  const { duration, timeBase } = stream;
  return {
    streamS: duration === AV_NOPTS_VALUE ? 0 : Number(duration) * timeBase.toDouble(),
    fileS: format.duration === AV_NOPTS_VALUE ? 0 : Number(format.duration) / AV_TIME_BASE,
  };
}

/** The packets of the video stream, each valid until the next. Throws UserError when the file ends too early. */
async function* videoPackets({ path, format, stream }: Source, signal: AbortSignal | undefined) {
  const packet = new Packet();
  packet.alloc();
  const timeBases = format.streams.map((each) => each.timeBase.toDouble());
  let numPackets = 0;
  let lastS = 0;
  let endsCorrupt = false;
  try {
    for (;;) {
      signal?.throwIfAborted();
      const status = await format.readFrame(packet);
      if (status === AVERROR_EOF) break;
      if (status < 0) throw damagedVideo(path, numPackets, FFmpegError.strerror(status));
      if (packet.pts !== AV_NOPTS_VALUE) {
        lastS = Math.max(lastS, Number(packet.pts + packet.duration) * timeBases[packet.streamIndex]!);
      }
      if (packet.streamIndex === stream.index) {
        numPackets += 1;
        endsCorrupt = (packet.flags & AV_PKT_FLAG_CORRUPT) !== 0;
        yield packet;
      }
      packet.unref();
    }
    if (endsCorrupt) throw damagedVideo(path, numPackets, "its last picture is cut off");
    const declaredS = format.duration === AV_NOPTS_VALUE ? 0 : Number(format.duration) / AV_TIME_BASE;
    if (endsEarly(format.iformat?.name ?? "", lastS, declaredS)) {
      throw damagedVideo(path, numPackets, `it ends at ${lastS.toFixed(2)} of ${declaredS.toFixed(2)} s`);
    }
  } finally {
    packet.free();
  }
}
