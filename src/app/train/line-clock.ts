/** At least this long from one line to the next. */
const LINE_INTERVAL_MS = 10_000;

/** Says when a line of progress is due where lines stay: the first, one now and then, and the last. */
export class LineClock {
  private lastLineMs = -Infinity;

  /** Whether to write a line now; then the next one is due later. */
  isDue(numDone: number, numAll: number): boolean {
    const now = performance.now();
    if (now - this.lastLineMs < LINE_INTERVAL_MS && numDone < numAll) return false;
    this.lastLineMs = now;
    return true;
  }
}
