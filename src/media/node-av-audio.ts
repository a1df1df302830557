import { AV_NOPTS_VALUE, AVDISCARD_ALL, AVERROR_EOF, AVMEDIA_TYPE_AUDIO } from "node-av/constants";
import { avGetCodecName, Packet, type FormatContext, type Stream } from "node-av/lib";
import { invariant } from "../tensor/errors.ts";
import { check } from "./node-av-filter.ts";
import { openSource, type Source } from "./node-av-source.ts";
import { MP4_AUDIO_CODECS, type AudioOutcome, type EncodeOptions } from "./video-backend.ts";

/** The first audio stream of another file on its way into an MP4, packet by packet, as it is. */
export interface AudioCopy {
  /** Adds the stream to the file being written; before its header. */
  addTo(output: FormatContext): void;
  /** Writes the packets that end before `untilS` seconds of the new file. */
  copyUntil(untilS: number): Promise<void>;
  /** Writes the rest up to the sample at `endS` seconds, where the new file ends. */
  finish(endS: number): Promise<void>;
  close(): Promise<void>;
}

/** Opens the sound to copy, or says why there is none. */
export async function openAudioCopy(
  from: EncodeOptions["audioFrom"],
): Promise<{ copy?: AudioCopy; outcome: AudioOutcome }> {
  if (!from) return { outcome: "none" };
  const source = await openSource(from.path);
  const index = source.format.findBestStream(AVMEDIA_TYPE_AUDIO);
  const stream = source.format.streams[index];
  const codec = stream && avGetCodecName(stream.codecpar.codecId);
  if (stream && codec && MP4_AUDIO_CODECS.includes(codec)) {
    return { outcome: "copied", copy: audioCopy(source, stream, from.startS ?? 0) };
  }
  await source.format.closeInput();
  return { outcome: stream ? "unsupported" : "none" };
}

function audioCopy({ format, stream: video }: Source, audio: Stream, startS: number): AudioCopy {
  for (const other of format.streams) if (other.index !== audio.index) other.discard = AVDISCARD_ALL;
  const timeBase = audio.timeBase.toDouble();
  // Time zero of the new file, in the audio stream's own time.
  const videoStartS =
    video.startTime === AV_NOPTS_VALUE ? 0 : Number(video.startTime) * video.timeBase.toDouble();
  const originS = videoStartS + startS;
  const origin = BigInt(Math.round(originS / timeBase));
  const packet = new Packet();
  packet.alloc();
  let output: { format: FormatContext; stream: Stream } | undefined;
  let isHolding = false;
  let isOver = false;

  /** Reads on to the next packet to keep. */
  async function advance(): Promise<void> {
    for (;;) {
      packet.unref();
      const status = await format.readFrame(packet);
      isOver = status === AVERROR_EOF;
      if (isOver) return;
      check(status, "reading the audio");
      if (packet.streamIndex !== audio.index || packet.pts === AV_NOPTS_VALUE) continue;
      // From the very start everything is kept: decoders need the silent samples before time zero. Elsewhere one packet
      // more than is heard: codecs overlap, so the first packet that is decoded lacks half of its sound.
      const nextEndS = Number(packet.pts + 2n * packet.duration) * timeBase;
      if (startS > 0 && nextEndS <= originS) continue;
      isHolding = true;
      return;
    }
  }

  /** Whether there is a packet to write. */
  async function hold(): Promise<boolean> {
    if (!isHolding && !isOver) await advance();
    return isHolding;
  }

  async function write(): Promise<void> {
    invariant(output, "the sound has a place in the new file");
    packet.pts -= origin;
    packet.dts -= origin;
    packet.streamIndex = output.stream.index;
    packet.pos = -1n;
    packet.rescaleTs(audio.timeBase, output.stream.timeBase);
    check(await output.format.writeFrame(packet), "writing the audio");
    isHolding = false;
  }

  return {
    addTo(target) {
      const stream = target.newStream(null);
      check(audio.codecpar.copy(stream.codecpar), "copying the audio's settings");
      // Tags belong to the container it came from.
      stream.codecpar.codecTag = 0;
      stream.timeBase = audio.timeBase;
      output = { format: target, stream };
    },
    async copyUntil(untilS) {
      const until = BigInt(Math.floor(untilS / timeBase));
      while ((await hold()) && packet.pts + packet.duration - origin <= until) await write();
    },
    async finish(endS) {
      const end = BigInt(Math.round(endS / timeBase));
      while ((await hold()) && packet.pts - origin < end) {
        const left = end - (packet.pts - origin);
        if (packet.duration > left) packet.duration = left;
        await write();
      }
    },
    async close() {
      packet.free();
      await format.closeInput();
    },
  };
}
