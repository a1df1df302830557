/** The videos of a folder, the caption of each, and the clips it can be cut into. */
import { createHash } from "node:crypto";
import { readdir, readFile, stat } from "node:fs/promises";
import { extname, join, relative, sep } from "node:path";
import { type VideoInfo, probeVideo } from "../../media/video.ts";
import { numFramesAt } from "../../pipeline/perceive.ts";
import { hashFile } from "../../pipeline/work-directory.ts";
import { UserError } from "../../tensor/errors.ts";
import type { Rejection } from "../../training/dataset-index.ts";
import type { VideoClipSettings, VideoJob } from "./make-video-clip.ts";
import { type DatasetOptions, ProgressCounter } from "./progress.ts";

const VIDEO_ENDINGS = new Set([
  ".mp4",
  ".m4v",
  ".mov",
  ".mkv",
  ".webm",
  ".avi",
  ".mpg",
  ".mpeg",
  ".ts",
  ".flv",
  ".wmv",
]);

/** Longer captions are mistakes: no model reads so much. */
const MAX_CAPTION_BYTES = 10_000;

/** Changes whenever the same settings would give other clips. */
const FORMAT = 1;

export interface VideoPlan {
  /** Every clip, by video and time. */
  readonly jobs: readonly VideoJob[];
  /** Videos that give none. */
  readonly rejected: readonly Rejection[];
}

export interface PlanOptions {
  readonly settings: VideoClipSettings;
  readonly fingerprint: string;
  /** Caption of videos without one of their own. */
  readonly caption: string;
}

/**
 * Reads every video once: its bytes for their hash, its packets for its length.
 * @throws UserError when the folder cannot be read or holds no video
 */
export async function planVideos(
  folder: string,
  { settings, fingerprint, caption }: PlanOptions,
  { signal, onProgress, onNotice }: DatasetOptions,
): Promise<VideoPlan> {
  const videos = await findVideos(folder);
  const jobs: VideoJob[] = [];
  const rejected: Rejection[] = [];
  /** Videos by the hash of their bytes. */
  const known = new Map<string, string>();
  const counter = new ProgressCounter("videos read", videos.length, 0, onProgress);
  for (const video of videos) {
    signal?.throwIfAborted();
    const path = join(folder, video);
    const fault = await readable(async () => {
      const info = await probeVideo(path, signal);
      const numClips = clipsIn(info, settings);
      const words = (await captionBeside(path)) ?? caption;
      const source = await hashFile(path);
      const twin = known.get(source);
      if (twin !== undefined) throw new UserError(`is a copy of ${twin}`);
      known.set(source, video);
      for (let clip = 0; clip < numClips; clip++) {
        const startS = (clip * settings.numFrames) / settings.fps;
        const facts = [FORMAT, source, startS, settings, fingerprint, words];
        const key = createHash("sha256").update(JSON.stringify(facts)).digest("hex").slice(0, 32);
        jobs.push({ key, video, startS, caption: words });
      }
    });
    const rejection = fault === null ? null : { video, startS: null, reason: withoutPath(fault, path) };
    if (rejection) {
      rejected.push(rejection);
      onNotice?.(`${video}: ${rejection.reason}`);
    }
    counter.advance();
  }
  return { jobs, rejected };
}

/** A message about a file, without its name. */
export function withoutPath(message: string, path: string): string {
  return message.startsWith(`${path} `) ? message.slice(path.length + 1) : message;
}

/** What is wrong with a video, or null. */
async function readable(read: () => Promise<void>): Promise<string | null> {
  try {
    await read();
    return null;
  } catch (error) {
    if (error instanceof UserError) return error.message;
    throw error;
  }
}

/** Paths below the folder, in the order of their names. */
async function findVideos(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch((cause: Error) => {
    throw new UserError(`cannot read the folder of videos ${folder}: ${cause.message}`, { cause });
  });
  const paths = entries
    .filter((entry) => !entry.isDirectory() && VIDEO_ENDINGS.has(extname(entry.name).toLowerCase()))
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)).replaceAll(sep, "/"));
  if (paths.length === 0) {
    throw new UserError(
      `${folder} holds no videos; expected files that end in ${[...VIDEO_ENDINGS].join(", ")}, in any folder below it`,
    );
  }
  return paths.sort();
}

function clipsIn(info: VideoInfo, { fps, numFrames }: VideoClipSettings): number {
  const numClips = Math.floor(numFramesAt(fps, info) / numFrames);
  if (numClips > 0) return numClips;
  throw new UserError(
    `is too short: ${info.durationS.toFixed(2)} s, a clip takes ${(numFrames / fps).toFixed(2)} s`,
  );
}

/** The text beside a video, in `<name>.txt`; null when there is none. */
async function captionBeside(video: string): Promise<string | null> {
  const path = `${video.slice(0, -extname(video).length)}.txt`;
  const found = await stat(path).catch(() => null);
  if (!found?.isFile()) return null;
  if (found.size > MAX_CAPTION_BYTES) {
    throw new UserError(`has a caption of ${found.size} bytes; at most ${MAX_CAPTION_BYTES} are read`);
  }
  const text = (await readFile(path, "utf8")).replaceAll(/\s+/g, " ").trim();
  return text === "" ? null : text;
}
