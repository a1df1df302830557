import { mkdir, rename } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { AVFMT_FLAG_BITEXACT } from "node-av/constants";
import { Dictionary, FormatContext, type Packet } from "node-av/lib";
import { invariant } from "../tensor/errors.ts";
import { explainWriteFailure, removeLeftover, syncFile, temporaryPath } from "../files/atomic-file.ts";
import { openAudio } from "./node-av-audio.ts";
import { check } from "./node-av-filter.ts";
import { openH264Encoder, type H264Encoder } from "./node-av-h264.ts";
import {
  checkEncodeOptions,
  checkFrame,
  noFramesWritten,
  type EncodeOptions,
  type VideoEncoder,
} from "./video-backend.ts";

/** Opens a file to encode into; see `VideoEncoder`. Throws UserError for options or a place that will not do. */
export async function openNodeAvEncoder(path: string, options: EncodeOptions): Promise<VideoEncoder> {
  checkEncodeOptions(path, options);
  const temporary = temporaryPath(path);
  const { track: audio, outcome } = await openAudio(options.audioFrom);
  const format = new FormatContext();
  let h264: H264Encoder | undefined;
  let isOpen = true;
  let numFrames = 0;

  async function release(): Promise<void> {
    isOpen = false;
    await format.closeOutput();
    format.freeContext();
    h264?.free();
    await audio?.close();
  }
  async function abort(): Promise<void> {
    if (!isOpen) return;
    await release();
    await removeLeftover(temporary);
  }
  /** Any failure ends the file. */
  async function guard<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      await abort();
      throw explainWriteFailure(error, path);
    }
  }

  const { encoder, video } = await guard(async () => {
    await mkdir(dirname(resolve(path)), { recursive: true });
    check(format.allocOutputContext2(null, "mp4", `file:${resolve(temporary)}`), `opening ${temporary}`);
    format.setFlags(AVFMT_FLAG_BITEXACT);
    const opened = await openH264Encoder(options);
    h264 = opened;
    const stream = format.newStream(null);
    check(stream.codecpar.fromContext(opened.context), "describing the video stream");
    stream.timeBase = opened.context.timeBase;
    stream.avgFrameRate = opened.context.framerate;
    audio?.addTo(format);
    check(await format.openOutput(), `opening ${temporary}`);
    const settings = Dictionary.fromObject({ movflags: "+faststart" });
    check(await format.writeHeader(settings), "writing the header");
    settings.free();
    return { encoder: opened, video: stream };
  });

  /** Sound goes in just before the pictures it accompanies, so that players find both near each other. */
  async function writePacket(packet: Packet): Promise<void> {
    await audio?.copyUntil(Number(packet.dts) * encoder.context.timeBase.toDouble());
    packet.streamIndex = video.index;
    packet.rescaleTs(encoder.context.timeBase, video.timeBase);
    check(await format.writeFrame(packet), "writing a picture");
  }

  return {
    write: (image) =>
      guard(async () => {
        invariant(isOpen, "the encoder is open");
        checkFrame(image, options);
        await encoder.encode({ image, index: numFrames }, writePacket);
        numFrames += 1;
      }),
    close: () =>
      guard(async () => {
        invariant(isOpen, "the encoder is open");
        if (numFrames === 0) throw noFramesWritten(path);
        await encoder.encode(undefined, writePacket);
        await audio?.finish(numFrames * encoder.context.timeBase.toDouble());
        check(await format.writeTrailer(), "finishing the file");
        check(format.pb?.error ?? 0, "finishing the file");
        await release();
        await syncFile(temporary);
        await rename(temporary, path);
        return { numFrames, audio: outcome };
      }),
    abort,
  };
}
