import {
  AV_CODEC_FLAG_BITEXACT,
  AV_CODEC_FLAG_GLOBAL_HEADER,
  AV_PIX_FMT_RGB24,
  AV_PIX_FMT_YUV420P,
  AVCHROMA_LOC_LEFT,
  AVCOL_PRI_BT709,
  AVCOL_RANGE_MPEG,
  AVCOL_SPC_BT709,
  AVCOL_TRC_BT709,
  AVERROR_EOF,
  FF_ENCODER_LIBX264,
} from "node-av/constants";
import { Codec, CodecContext, Dictionary, Frame, Packet, Rational } from "node-av/lib";
import { invariant, UserError } from "../tensor/errors.ts";
import { frameRateFraction } from "./frame-rate.ts";
import { check, FrameFilter, NEEDS_MORE } from "./node-av-filter.ts";
import type { Image } from "./pixels.ts";
import { RGB_TO_BT709, type EncodeOptions, x264Options } from "./video-backend.ts";

/** RGB pictures to H.264 packets, in this process. */
export interface H264Encoder {
  readonly context: CodecContext;
  /** Encodes picture number `index`, or with nothing what is still under way, and gives the packets that are ready. */
  encode(
    picture: { image: Image; index: number } | undefined,
    take: (packet: Packet) => Promise<void>,
  ): Promise<void>;
  free(): void;
}

/** Opens libx264 for the options of a video encoder. */
export async function openH264Encoder(options: EncodeOptions): Promise<H264Encoder> {
  const { width, height, fps } = options;
  const codec = Codec.findEncoderByName(FF_ENCODER_LIBX264);
  if (!codec) throw new UserError("this build of FFmpeg has no libx264; reinstall node-av");
  const rate = frameRateFraction(fps);
  const timeBase = new Rational(rate.den, rate.num);
  const context = new CodecContext();
  context.allocContext3(codec);
  Object.assign(context, {
    width,
    height,
    pixelFormat: AV_PIX_FMT_YUV420P,
    timeBase,
    framerate: new Rational(rate.num, rate.den),
    colorSpace: AVCOL_SPC_BT709,
    colorPrimaries: AVCOL_PRI_BT709,
    colorTrc: AVCOL_TRC_BT709,
    colorRange: AVCOL_RANGE_MPEG,
    chromaLocation: AVCHROMA_LOC_LEFT,
  });
  context.setFlags(AV_CODEC_FLAG_GLOBAL_HEADER, AV_CODEC_FLAG_BITEXACT);
  const settings = Dictionary.fromObject(x264Options(options));
  try {
    check(await context.open2(codec, settings), "opening the H.264 encoder");
  } catch (error) {
    context.freeContext();
    throw error;
  } finally {
    settings.free();
  }
  const toYuv = new FrameFilter(RGB_TO_BT709);
  const packet = new Packet();
  packet.alloc();

  return {
    context,
    async encode(picture, take) {
      const frame = picture && (await yuvFrame(toYuv, picture.image));
      if (frame) {
        frame.pts = BigInt(picture.index);
        frame.duration = 1n;
      }
      try {
        check(await context.sendFrame(frame ?? null), "encoding");
      } finally {
        frame?.free();
      }
      for (;;) {
        const status = await context.receivePacket(packet);
        if (status === NEEDS_MORE || status === AVERROR_EOF) return;
        check(status, "encoding");
        packet.duration = 1n;
        await take(packet);
        packet.unref();
      }
    },
    free() {
      toYuv.free();
      packet.free();
      context.freeContext();
    },
  };
}

async function yuvFrame(toYuv: FrameFilter, image: Image): Promise<Frame> {
  const rgb = rgbFrame(image);
  try {
    return await toYuv.convert(rgb);
  } finally {
    rgb.free();
  }
}

/** A picture in FFmpeg's own memory: the binding's own wrapping would leave it in ours, which may be collected. */
export function rgbFrame({ width, height, data }: Image): Frame {
  const frame = new Frame();
  frame.alloc();
  Object.assign(frame, { width, height, format: AV_PIX_FMT_RGB24 });
  check(frame.getBuffer(), "making a picture");
  const [plane] = frame.data ?? [];
  const [stride] = frame.linesize;
  invariant(plane && stride, "an RGB picture has one plane");
  for (let y = 0; y < height; y++) plane.set(data.subarray(y * width * 3, (y + 1) * width * 3), y * stride);
  return frame;
}
