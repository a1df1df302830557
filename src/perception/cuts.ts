import type { Image } from "../media/pixels.ts";
import type { ImagePyramid } from "./region.ts";

/** Longer side of the thumbnails that are compared, at most. */
const THUMBNAIL = 48;
/** Least mean difference of two thumbnails across a cut, of 255. */
const MIN_DIFFERENCE = 14;
/** Across a cut it is this many times as large as around it. */
const CONTRAST = 3;
/** Frames on each side that say how much the picture changes without a cut. */
const AROUND = 6;

/**
 * Finds cuts: frames that differ from the one before far more than those around do from theirs. A flash is none,
 * because the frame after it is like the one before. Keeps two thumbnails, and two numbers per frame.
 */
export class CutFinder {
  private readonly changes: number[] = [];
  /** Between a frame's two neighbours. */
  private readonly changesOverTwo: number[] = [];
  private last: Image | null = null;
  private lastButOne: Image | null = null;

  /** Takes the next frame. Returns whether a cut may be just before it. */
  add(frame: ImagePyramid): boolean {
    const thumbnail = thumbnailOf(frame);
    const change = this.last ? difference(this.last, thumbnail) : 0;
    this.changes.push(change);
    if (this.lastButOne) this.changesOverTwo.push(difference(this.lastButOne, thumbnail));
    else if (this.last) this.changesOverTwo.push(0);
    this.lastButOne = this.last;
    this.last = thumbnail;
    return change >= MIN_DIFFERENCE;
  }

  /** Indices of the frames that begin a new shot, rising. The first frame is none of them. */
  cuts(): number[] {
    return this.changes.flatMap((change, i) => {
      if (change < MIN_DIFFERENCE || change < CONTRAST * this.usualChange(i)) return [];
      const isFlash = i + 1 < this.changes.length && this.changesOverTwo[i]! < change / 2;
      const endsFlash =
        i >= 2 && this.changes[i - 1]! >= MIN_DIFFERENCE && this.changesOverTwo[i - 1]! < change / 2;
      return isFlash || endsFlash ? [] : [i];
    });
  }

  /** Median of the changes around a frame, its own left out. */
  private usualChange(index: number): number {
    const from = Math.max(1, index - AROUND);
    const around = this.changes.slice(from, index + AROUND + 1).toSpliced(index - from, 1);
    return around.toSorted((a, b) => a - b)[around.length >> 1] ?? 0;
  }
}

function thumbnailOf(frame: ImagePyramid): Image {
  let level = 0;
  while (Math.max(frame.level(level).width, frame.level(level).height) > THUMBNAIL) level++;
  return frame.level(level);
}

/** Mean absolute difference of all channels, 0..255; the largest when the sizes differ. */
function difference(a: Image, b: Image): number {
  if (a.data.length !== b.data.length) return 255;
  let sum = 0;
  for (let i = 0; i < a.data.length; i++) sum += Math.abs(a.data[i]! - b.data[i]!);
  return sum / a.data.length;
}
