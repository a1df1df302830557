/** Pictures of all clips at once: the reference, then groups of frames at the same times. */
import { blit } from "../../media/draw.ts";
import { type Image, createImage } from "../../media/pixels.ts";
import type { VideoName } from "./figures.ts";
import type { HeldOutClip } from "./held-out-clip.ts";

/** Times of the shown frames, as shares of the clip. */
const TIMES = [0.15, 0.5, 0.85];

/** Pixels between groups and between rows. */
const GAP = 4;

/** Groups of a row after the reference, each of `TIMES.length` frames. */
export const SHEET_COLUMNS = ["reference", "skeleton", "truth", "generated", "VAE of the truth"] as const;

/** Reference | skeletons | truth | generated | VAE reconstruction. */
export function contactRow(clip: HeldOutClip, videos: Readonly<Record<VideoName, readonly Image[]>>): Image {
  return pictureRow(clip.reference, [clip.skeletons, clip.frames, videos.generated, videos.vae]);
}

/** A picture, then frames of each video at the same times. */
export function pictureRow(first: Image, videos: readonly (readonly Image[])[]): Image {
  const at = (video: readonly Image[]): Image[] =>
    TIMES.map((share) => video[Math.floor(share * video.length)]!);
  return groupedRow([[first], ...videos.map((video) => at(video))]);
}

/** Groups of pictures of one height beside each other. */
export function groupedRow(groups: readonly (readonly Image[])[]): Image {
  return joinRight(
    groups.map((group) => joinRight(group, 0)),
    GAP,
  );
}

/** Rows of equal width, one below the other. */
export function contactSheet(rows: readonly Image[]): Image {
  const [{ width, height }] = rows as [Image];
  const sheet = createImage(width, rows.length * (height + GAP) - GAP, [255, 255, 255]);
  rows.forEach((row, i) => blit(sheet, row, 0, i * (height + GAP)));
  return sheet;
}

/** Pictures of equal height beside each other. */
function joinRight(images: readonly Image[], gap: number): Image {
  const width = images.reduce((sum, image) => sum + image.width + gap, -gap);
  const joined = createImage(width, images[0]!.height, [255, 255, 255]);
  let left = 0;
  for (const image of images) {
    blit(joined, image, left, 0);
    left += image.width + gap;
  }
  return joined;
}
