import { AV_NOPTS_VALUE, AVDISCARD_ALL, AVMEDIA_TYPE_AUDIO } from "node-av/constants";
import { avGetCodecName, type FormatContext, type Packet, type Rational, type Stream } from "node-av/lib";
import { invariant } from "../tensor/errors.ts";
import { copiedSound } from "./node-av-audio-copy.ts";
import { encodedSound } from "./node-av-audio-encode.ts";
import { check } from "./node-av-filter.ts";
import { openSource, type Source } from "./node-av-source.ts";
import { MP4_AUDIO_CODECS, type AudioOutcome, type EncodeOptions } from "./video-backend.ts";

/** The first audio stream of another file on its way into an MP4. */
export interface AudioTrack {
  /** Adds the stream to the file being written; before its header. */
  addTo(output: FormatContext): void;
  /** Writes the packets that end before `untilS` seconds of the new file. */
  copyUntil(untilS: number): Promise<void>;
  /** Writes the rest up to the sample at `endS` seconds, where the new file ends. */
  finish(endS: number): Promise<void>;
  close(): Promise<void>;
}

/** Sound as an MP4 holds it. */
export interface SoundPackets {
  /** Unit of the packets' times. */
  readonly timeBase: Rational;
  /** Time zero of the new file, in that unit. */
  readonly origin: bigint;
  /** Tells a stream of the new file what is in the packets. */
  describe(stream: Stream): void;
  /** Every packet in order, each valid until the next one is asked for. */
  readonly packets: AsyncGenerator<Packet, void, undefined>;
  /** After the last packet. */
  free(): void;
}

/** Sound of a source, and where the new file begins in the source's own time, seconds. */
export interface SoundSource {
  readonly source: Source;
  readonly audio: Stream;
  readonly originS: number;
  /** Whether that is the very start of the source's pictures. */
  readonly isWhole: boolean;
}

/** Opens the sound, or says why there is none. */
export async function openAudio(
  from: EncodeOptions["audioFrom"],
): Promise<{ track?: AudioTrack; outcome: AudioOutcome }> {
  if (!from) return { outcome: "none" };
  const { path, startS = 0 } = from;
  const source = await openSource(path);
  const { format, stream: video } = source;
  const audio = format.streams[format.findBestStream(AVMEDIA_TYPE_AUDIO)];
  if (!audio) {
    await format.closeInput();
    return { outcome: "none" };
  }
  for (const other of format.streams) if (other.index !== audio.index) other.discard = AVDISCARD_ALL;
  const videoStartS =
    video.startTime === AV_NOPTS_VALUE ? 0 : Number(video.startTime) * video.timeBase.toDouble();
  const sound = { source, audio, originS: videoStartS + startS, isWhole: startS === 0 };
  const codec = avGetCodecName(audio.codecpar.codecId);
  if (codec && MP4_AUDIO_CODECS.includes(codec)) {
    return { outcome: "copied", track: audioTrack(source, copiedSound(sound)) };
  }
  const encoded = await encodedSound(sound);
  if (encoded) return { outcome: "encoded", track: audioTrack(source, encoded) };
  await format.closeInput();
  return { outcome: "unsupported" };
}

function audioTrack(
  { format }: Source,
  { timeBase, origin, describe, packets, free }: SoundPackets,
): AudioTrack {
  const tickS = timeBase.toDouble();
  let output: { format: FormatContext; stream: Stream } | undefined;
  /** Read, but not yet written. */
  let held: Packet | undefined;
  let isOver = false;

  /** The packet to write next; undefined after the last one. */
  async function next(): Promise<Packet | undefined> {
    if (held || isOver) return held;
    const { value, done } = await packets.next();
    isOver = done === true;
    held = value ?? undefined;
    return held;
  }

  async function write(packet: Packet): Promise<void> {
    invariant(output, "the sound has a place in the new file");
    const { format: target, stream } = output;
    packet.pts -= origin;
    packet.dts -= origin;
    packet.streamIndex = stream.index;
    packet.pos = -1n;
    packet.rescaleTs(timeBase, stream.timeBase);
    check(await target.writeFrame(packet), "writing the audio");
    held = undefined;
  }

  return {
    addTo(target) {
      const stream = target.newStream(null);
      describe(stream);
      output = { format: target, stream };
    },
    async copyUntil(untilS) {
      const until = BigInt(Math.floor(untilS / tickS));
      for (let packet = await next(); packet; packet = await next()) {
        if (packet.pts + packet.duration - origin > until) return;
        await write(packet);
      }
    },
    async finish(endS) {
      const end = BigInt(Math.round(endS / tickS));
      for (let packet = await next(); packet; packet = await next()) {
        const left = end - (packet.pts - origin);
        if (left <= 0n) return;
        if (packet.duration > left) packet.duration = left;
        await write(packet);
      }
    },
    async close() {
      await packets.return();
      free();
      await format.closeInput();
    },
  };
}
