/** Counts the coded pictures of a video and measures the time they span, one packet at a time. */
export class PacketSpan {
  numFrames = 0;
  private firstS = Infinity;
  private lastS = -Infinity;
  private lastDurationS = 0;

  /** Adds a shown picture; its time is NaN and its duration 0 when the container does not say. */
  add(timeS: number, durationS: number): void {
    this.numFrames += 1;
    this.firstS = Math.min(this.firstS, timeS || 0);
    if (timeS >= this.lastS) {
      this.lastS = timeS;
      this.lastDurationS = durationS;
    }
  }

  /** `frameRate` (0 when unknown) serves where the container gives no times. */
  result(
    frameRate: number,
    declared: DeclaredLength,
  ): { numFrames: number; durationS: number; frameRate: number } {
    const { numFrames } = this;
    const between = this.lastS - this.firstS;
    if (!(between > 0)) {
      const durationS = this.lastDurationS > 0 ? this.lastDurationS : numFrames / (frameRate || 25);
      return { numFrames, durationS, frameRate: frameRate || numFrames / durationS };
    }
    const meanS = between / (numFrames - 1);
    const lastS = this.lastDurationS > 0 ? this.lastDurationS : meanS;
    const durationS = between + untilDeclared(between, lastS, meanS, declared);
    return { numFrames, durationS, frameRate: frameRate || 1 / meanS };
  }
}

/** Length that a container declares, seconds; 0 where it does not. */
export interface DeclaredLength {
  /** Of the video itself, as MP4 does. */
  readonly streamS: number;
  /** Of all that is in the file. */
  readonly fileS: number;
}

/**
 * How long a frame at `timeS` is shown if nothing follows: containers store times to decode, which may outlast the
 * declared end. In MP4 a packet lasts until the next one in the order of decoding, which tells nothing of the picture
 * that is shown last: it may be shown for the usual time, up to the end of the video.
 */
export function untilDeclared(
  timeS: number,
  durationS: number,
  usualS: number,
  { streamS, fileS }: DeclaredLength,
): number {
  if (streamS > timeS) return Math.min(Math.max(durationS, usualS), streamS - timeS);
  return streamS === 0 && fileS > timeS ? Math.min(durationS, fileS - timeS) : durationS;
}
