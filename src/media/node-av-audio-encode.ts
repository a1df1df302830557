import {
  AV_CHANNEL_ORDER_NATIVE,
  AV_CODEC_FLAG_BITEXACT,
  AV_CODEC_FLAG_GLOBAL_HEADER,
  AV_NOPTS_VALUE,
  AV_SAMPLE_FMT_FLTP,
  AVERROR_EOF,
  FF_ENCODER_AAC,
} from "node-av/constants";
import { Codec, CodecContext, Frame, Packet, Rational } from "node-av/lib";
import { packetsOf } from "./node-av-audio-copy.ts";
import type { SoundPackets, SoundSource } from "./node-av-audio.ts";
import { check, NEEDS_MORE, SoundFilter } from "./node-av-filter.ts";

/** Rates that AAC has, Hz. */
const RATES = [48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000];

/** Layouts that are kept; other numbers of channels are mixed to two. */
const LAYOUTS = [
  { name: "mono", numChannels: 1, mask: 0x4n },
  { name: "stereo", numChannels: 2, mask: 0x3n },
  { name: "5.1", numChannels: 6, mask: 0x3fn },
] as const;

/** Bits per sample: 96 kbit/s for each channel at 48 kHz, more than is heard. */
const BITS_PER_SAMPLE = 2;

/** Samples of an AAC packet. */
const FRAME_SAMPLES = 1024;

/**
 * A source's sound as packets of AAC, which begin at the sample at `originS`. Samples are counted, not timed by packets:
 * some containers round times to milliseconds. Gaps of more than 0.1 s are filled with silence. Null where the build of
 * FFmpeg cannot decode the sound.
 */
export async function encodedSound(sound: SoundSource): Promise<SoundPackets | null> {
  const decoder = await openDecoder(sound);
  if (!decoder) return null;
  const { sampleRate, channelLayout } = sound.audio.codecpar;
  const layout = LAYOUTS.find(({ numChannels }) => numChannels === channelLayout.nbChannels) ?? LAYOUTS[1];
  const rate = RATES.find((each) => each <= sampleRate) ?? RATES.at(-1)!;
  const encoder = await openEncoder(rate, layout);
  const packet = new Packet();
  packet.alloc();

  async function* packets(): AsyncGenerator<Packet, void, undefined> {
    for await (const frame of filtered(sound, decodedFrames(sound, decoder!), rate, layout.name)) {
      check(await encoder.sendFrame(frame), "encoding the audio");
      frame?.free();
      for (;;) {
        const status = await encoder.receivePacket(packet);
        if (status === NEEDS_MORE || status === AVERROR_EOF) break;
        check(status, "encoding the audio");
        yield packet;
        packet.unref();
      }
    }
  }

  return {
    timeBase: encoder.timeBase,
    origin: 0n,
    describe(stream) {
      check(stream.codecpar.fromContext(encoder), "describing the audio stream");
      stream.timeBase = encoder.timeBase;
    },
    packets: packets(),
    free() {
      packet.free();
      encoder.freeContext();
      decoder.freeContext();
    },
  };
}

async function openDecoder({ audio }: SoundSource): Promise<CodecContext | null> {
  const { codecpar } = audio;
  const codec = Codec.findDecoder(codecpar.codecId);
  if (!codec || codecpar.sampleRate <= 0 || codecpar.channelLayout.nbChannels <= 0) return null;
  const decoder = new CodecContext();
  decoder.allocContext3(codec);
  check(codecpar.toContext(decoder), "opening the audio decoder");
  decoder.pktTimebase = audio.timeBase;
  if ((await decoder.open2(codec)) >= 0) return decoder;
  decoder.freeContext();
  return null;
}

async function openEncoder(rate: number, layout: (typeof LAYOUTS)[number]): Promise<CodecContext> {
  const codec = Codec.findEncoderByName(FF_ENCODER_AAC);
  const encoder = new CodecContext();
  encoder.allocContext3(codec);
  encoder.sampleRate = rate;
  encoder.sampleFormat = AV_SAMPLE_FMT_FLTP;
  encoder.channelLayout = {
    nbChannels: layout.numChannels,
    order: AV_CHANNEL_ORDER_NATIVE,
    mask: layout.mask,
  };
  encoder.timeBase = new Rational(1, rate);
  encoder.bitRate = BigInt(BITS_PER_SAMPLE * rate * layout.numChannels);
  encoder.setFlags(AV_CODEC_FLAG_GLOBAL_HEADER, AV_CODEC_FLAG_BITEXACT);
  check(await encoder.open2(codec), "opening the AAC encoder");
  return encoder;
}

/** Every frame that can be decoded; the receiver frees them. Damage costs the sound of its packet. */
async function* decodedFrames(
  { source, audio }: SoundSource,
  decoder: CodecContext,
): AsyncGenerator<Frame, void, undefined> {
  async function* drain(): AsyncGenerator<Frame, void, undefined> {
    for (;;) {
      const frame = new Frame();
      frame.alloc();
      if ((await decoder.receiveFrame(frame)) < 0) return frame.free();
      yield frame;
    }
  }
  for await (const packet of packetsOf(source, audio)) {
    await decoder.sendPacket(packet);
    yield* drain();
  }
  await decoder.sendPacket(null);
  yield* drain();
}

/** Frames as the encoder takes them, from the sample at `originS` on; null after the last one. */
async function* filtered(
  { audio, originS }: SoundSource,
  frames: AsyncIterable<Frame>,
  rate: number,
  layout: string,
): AsyncGenerator<Frame | null, void, undefined> {
  const tickS = audio.timeBase.toDouble();
  const filter = new SoundFilter(
    `aresample=async=1,aformat=sample_fmts=fltp:sample_rates=${rate}:channel_layouts=${layout},` +
      `atrim=start_pts=0,asetnsamples=n=${FRAME_SAMPLES}:p=0`,
  );
  try {
    for await (const frame of frames) {
      if (frame.pts !== AV_NOPTS_VALUE) {
        const timeS = Number(frame.pts) * tickS - originS;
        yield* filter.add(frame, BigInt(Math.round(timeS * frame.sampleRate)));
      }
      frame.free();
    }
    yield* filter.add(null, 0n);
    yield null;
  } finally {
    filter.free();
  }
}
