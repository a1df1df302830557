/** For tests: short videos of rendered people, and what else a folder of videos may hold. */
import { mkdir, readFile, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type ClipFrame, renderFrames } from "../../avatar/clip.ts";
import { makeIdentity } from "../../avatar/identity.ts";
import { makeMotion } from "../../avatar/motion.ts";
import { makeScene } from "../../avatar/scene.ts";
import { blit } from "../../media/draw.ts";
import { type Image, createImage } from "../../media/pixels.ts";
import { resize } from "../../media/resize.ts";
import { openVideoEncoder } from "../../media/video.ts";
import { hashFile } from "../../pipeline/work-directory.ts";

/** Large enough for a person to be found. */
const SIZE = { width: 192, height: 288 } as const;

export const FPS = 8;

/** Frames of somebody who dances, the whole body in the picture. */
export function danceFrames(seed: number, numFrames: number): ClipFrame[] {
  const scene = { ...makeScene(seed), shot: "full body", span: [-0.07, 1.16] } as const;
  return [
    ...renderFrames({
      identity: makeIdentity(seed),
      scene,
      motion: makeMotion(seed),
      numFrames,
      fps: FPS,
      ...SIZE,
    }),
  ];
}

export function dance(seed: number, numFrames: number): Image[] {
  return danceFrames(seed, numFrames).map(({ image }) => image);
}

/** The same pictures, a third as large, on grey. */
export function farAway(frames: readonly Image[]): Image[] {
  return frames.map((frame) => {
    const picture = createImage(SIZE.width, SIZE.height, [128, 128, 128]);
    blit(picture, resize(frame, SIZE.width / 3, SIZE.height / 3), SIZE.width / 3, SIZE.height / 3);
    return picture;
  });
}

export const nobody = (numFrames: number): Image[] =>
  Array.from({ length: numFrames }, () => createImage(SIZE.width, SIZE.height, [90, 120, 60]));

/** Writes frames as MP4, `FPS` a second. */
export async function writeVideo(path: string, frames: readonly Image[]): Promise<void> {
  const encoder = await openVideoEncoder(path, { ...SIZE, fps: FPS });
  for (const frame of frames) await encoder.write(frame);
  await encoder.close();
}

/** A folder with every kind of video; clips of 9 frames. Returns its path. */
export async function writeVideoFolder(path: string): Promise<string> {
  await mkdir(join(path, "more"), { recursive: true });
  await writeVideo(join(path, "a.mp4"), dance(4, 19));
  await writeFile(join(path, "a.txt"), "A woman dances\n in a <b>room</b>.");
  await writeVideo(join(path, "cut.mp4"), [...dance(3, 5), ...dance(8, 4)]);
  await writeVideo(join(path, "empty.mp4"), nobody(9));
  await writeVideo(join(path, "far.mp4"), farAway(dance(3, 9)));
  await writeVideo(join(path, "short.mp4"), dance(4, 5));
  await writeVideo(join(path, "more", "b.mp4"), dance(8, 9));
  await writeFile(join(path, "torn.mp4"), "no video");
  await writeFile(join(path, "z-copy.mp4"), await readFile(join(path, "a.mp4")));
  return path;
}

/** Every file below a folder with a hash of its content, by name. */
export async function hashFiles(folder: string): Promise<Record<string, string>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  const hashes = await Promise.all(
    paths.map(async (path) => [path.slice(folder.length + 1), await hashFile(path)]),
  );
  return Object.fromEntries(hashes.sort()) as Record<string, string>;
}
