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

  /**
   * `frameRate` (0 when unknown) serves where the container gives no times; `declaredS` (0 when unknown) is the
   * length that the container declares.
   */
  result(frameRate: number, declaredS: number): { numFrames: number; durationS: number; frameRate: number } {
    const { numFrames } = this;
    const between = this.lastS - this.firstS;
    if (!(between > 0)) {
      const durationS = this.lastDurationS > 0 ? this.lastDurationS : numFrames / (frameRate || 25);
      return { numFrames, durationS, frameRate: frameRate || numFrames / durationS };
    }
    const meanS = between / (numFrames - 1);
    const durationS =
      between + untilDeclared(between, this.lastDurationS > 0 ? this.lastDurationS : meanS, declaredS);
    return { numFrames, durationS, frameRate: frameRate || 1 / meanS };
  }
}

/** How long a frame at `timeS` is shown: containers store times to decode, which may outlast the declared end. */
export function untilDeclared(timeS: number, durationS: number, declaredS: number): number {
  return declaredS > timeS ? Math.min(durationS, declaredS - timeS) : durationS;
}
