import { AV_NOPTS_VALUE, AVERROR_EOF } from "node-av/constants";
import { Packet, Rational } from "node-av/lib";
import type { SoundPackets, SoundSource } from "./node-av-audio.ts";
import { check } from "./node-av-filter.ts";

/**
 * The packets of a source's sound as they are. Where the container rounds times to more than a sample, such as
 * Matroska to milliseconds, packets of equal length are timed by counting their samples.
 */
export function copiedSound({ source, audio, originS, isWhole }: SoundSource): SoundPackets {
  const { sampleRate, frameSize, initialPadding } = audio.codecpar;
  const ofContainer = audio.timeBase.toDouble();
  const isCounted = frameSize > 0 && ofContainer * sampleRate > 1;
  const timeBase = isCounted ? new Rational(1, sampleRate) : audio.timeBase;
  const tickS = timeBase.toDouble();
  const tolerance = 2 * ofContainer * sampleRate;

  async function* packets(): AsyncGenerator<Packet, void, undefined> {
    // The first samples are often silence that the codec needs, before time zero.
    let next = -initialPadding;
    for await (const packet of packetsOf(source, audio)) {
      if (isCounted) {
        const begin = Number(packet.pts) * ofContainer * sampleRate;
        const sample = Math.abs(begin - next) <= tolerance ? next : Math.round(begin);
        next = sample + frameSize;
        packet.pts = packet.dts = BigInt(sample);
        packet.duration = BigInt(frameSize);
      }
      // From the very start everything is kept: decoders need the silent samples before time zero. Elsewhere one packet
      // more than is heard: codecs overlap, so the first packet that is decoded lacks half of its sound.
      const nextEndS = Number(packet.pts + 2n * packet.duration) * tickS;
      if (isWhole || nextEndS > originS) yield packet;
    }
  }

  return {
    timeBase,
    origin: BigInt(Math.round(originS / tickS)),
    describe(stream) {
      check(audio.codecpar.copy(stream.codecpar), "copying the audio's settings");
      // Tags belong to the container it came from.
      stream.codecpar.codecTag = 0;
      stream.timeBase = timeBase;
    },
    packets: packets(),
    free() {},
  };
}

/** Every packet of the sound that has a time; the packet is the same one, filled anew. */
export async function* packetsOf(
  { format }: SoundSource["source"],
  audio: SoundSource["audio"],
): AsyncGenerator<Packet, void, undefined> {
  const packet = new Packet();
  packet.alloc();
  try {
    for (;;) {
      packet.unref();
      const status = await format.readFrame(packet);
      if (status === AVERROR_EOF) return;
      check(status, "reading the audio");
      if (packet.streamIndex === audio.index && packet.pts !== AV_NOPTS_VALUE) yield packet;
    }
  } finally {
    packet.free();
  }
}
