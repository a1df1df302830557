import { once } from "node:events";
import { mkdir, rename } from "node:fs/promises";
import { dirname, join, basename, resolve } from "node:path";
import { invariant } from "../tensor/errors.ts";
import { explainWriteFailure, removeLeftover, syncFile, temporaryPath } from "../files/atomic-file.ts";
import { startFfmpeg, type FfmpegProcess } from "./ffmpeg-process.ts";
import { inputOptions, probeFile, type ProbedFile } from "./ffprobe.ts";
import { frameRateFraction } from "./frame-rate.ts";
import {
  checkEncodeOptions,
  checkFrame,
  MP4_AUDIO_CODECS,
  noFramesWritten,
  RGB_TO_BT709,
  x264Options,
  type AudioOutcome,
  type EncodeOptions,
  type VideoEncoder,
} from "./video-backend.ts";

/** Opens a file to encode into; see `VideoEncoder`. Throws UserError for options or a place that will not do. */
export async function openFfmpegEncoder(path: string, options: EncodeOptions): Promise<VideoEncoder> {
  checkEncodeOptions(path, options);
  const sound = options.audioFrom && (await probeFile(options.audioFrom.path));
  const audio = audioOutcome(sound);
  const temporary = temporaryPath(path);
  const silent = join(dirname(path), `.partial-silent-${basename(path)}`);
  const withSound = audio === "copied" || audio === "encoded";
  const encoded = withSound ? silent : temporary;
  let ffmpeg: FfmpegProcess | undefined;
  let isOpen = true;
  let numFrames = 0;

  async function abort(): Promise<void> {
    if (!isOpen) return;
    isOpen = false;
    ffmpeg?.kill();
    await ffmpeg?.ended.catch(() => {});
    await Promise.all([temporary, silent].map(removeLeftover));
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

  const running = await guard(async () => {
    await mkdir(dirname(resolve(path)), { recursive: true });
    ffmpeg = startFfmpeg("ffmpeg", encodeArguments(encoded, options));
    return ffmpeg;
  });

  return {
    write: (image) =>
      guard(async () => {
        invariant(isOpen, "the encoder is open");
        checkFrame(image, options);
        const { stdin } = running;
        // The process may end while its pipe is full; its messages say more than the pipe does.
        const goesOn = stdin.write(image.data) || once(stdin, "drain").catch(() => {});
        await Promise.race([goesOn, running.ended]);
        if (stdin.destroyed) throw await failure(running);
        numFrames += 1;
      }),
    close: () =>
      guard(async () => {
        invariant(isOpen, "the encoder is open");
        if (numFrames === 0) throw noFramesWritten(path);
        running.stdin.end();
        if ((await running.ended) !== 0) throw await failure(running);
        if (withSound && options.audioFrom && sound) {
          const { num, den } = frameRateFraction(options.fps);
          await addAudio(silent, options.audioFrom, sound, (numFrames * den) / num, temporary);
          await removeLeftover(silent);
        }
        isOpen = false;
        await syncFile(temporary);
        await rename(temporary, path);
        return { numFrames, audio };
      }),
    abort,
  };
}

function audioOutcome(sound: ProbedFile | undefined): AudioOutcome {
  if (sound?.audioCodec === undefined) return "none";
  // Matroska rounds times to milliseconds: what is copied of it ends some samples late.
  const isExact = !sound.container.startsWith("matroska");
  if (isExact && MP4_AUDIO_CODECS.includes(sound.audioCodec)) return "copied";
  return sound.audioCodec === "unknown" ? "unsupported" : "encoded";
}

const MP4_OUTPUT = "-map_metadata -1 -fflags +bitexact -movflags +faststart -f mp4 -y";

function encodeArguments(target: string, options: EncodeOptions): string[] {
  const { width, height, fps } = options;
  const { num, den } = frameRateFraction(fps);
  const source = `-f rawvideo -pixel_format rgb24 -video_size ${width}x${height} -framerate ${num}/${den} -i pipe:0`;
  const x264 = Object.entries(x264Options(options)).map(([name, value]) => `-${name} ${value}`);
  const codec = `-c:v libx264 ${x264.join(" ")} -flags:v +bitexact`;
  const color =
    "-colorspace bt709 -color_primaries bt709 -color_trc bt709 -color_range tv -chroma_sample_location left";
  const all = `-nostats -v error ${source} -vf ${RGB_TO_BT709} ${codec} ${color} ${MP4_OUTPUT}`;
  return [...all.split(" "), `file:${resolve(target)}`];
}

/** Puts the pictures of one file, as they are, and the sound of another together. */
async function addAudio(
  silent: string,
  { path, startS = 0 }: { path: string; startS?: number },
  sound: ProbedFile,
  durationS: number,
  target: string,
): Promise<void> {
  const skipS = startS + sound.videoStartS - sound.fileStartS;
  const seek = skipS > 0 ? ["-ss", String(skipS)] : [];
  const coding = audioOutcome(sound) === "copied" ? copying(startS) : ENCODING;
  // The last packet ends with the last frame.
  const end = `-bsf:a setts=duration=min(DURATION\\,round(${durationS}/TB)-PTS) -t ${durationS}`;
  const output = `-map 0:v:0 -map 1:a:0 -c:v copy ${coding} ${end} ${MP4_OUTPUT}`.split(" ");
  const inputs = [...inputOptions(silent), ...seek, ...inputOptions(path)];
  const ffmpeg = startFfmpeg("ffmpeg", [
    "-nostdin",
    "-v",
    "error",
    ...inputs,
    ...output,
    `file:${resolve(target)}`,
  ]);
  ffmpeg.stdout.resume();
  if ((await ffmpeg.ended) !== 0) throw await failure(ffmpeg);
}

/**
 * Seeking goes to a key frame of the pictures. The sound from then on is copied, since codecs overlap, and what comes
 * before the wanted time is left out by the file's edit list.
 */
const copying = (startS: number): string => `-c:a copy${startS > 0 ? " -copypriorss:a 1" : ""}`;

/** AAC; gaps become silence. */
const ENCODING = "-c:a aac -b:a 192k -flags:a +bitexact -af aresample=async=1";

/** What a failed run said last. */
async function failure({ messages, ended }: FfmpegProcess): Promise<Error> {
  await ended;
  const lines: string[] = [];
  for await (const line of messages) lines.push(line);
  return new Error(`ffmpeg failed: ${lines.join("; ") || "no reason given"}`);
}
