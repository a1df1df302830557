/** What the making of a dataset tells while it works. */

export interface DatasetProgress {
  /** What is being done: a few words. */
  readonly activity: string;
  readonly finished: number;
  readonly of: number;
  /** Time since the activity began. */
  readonly elapsedMs: number;
  /** Estimated time that it still needs; null before there is anything to judge by. */
  readonly remainingMs: number | null;
}

export interface DatasetOptions {
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: DatasetProgress) => void;
  /** Told what a user should know: one line each. */
  readonly onNotice?: (message: string) => void;
}

/** Counts finished pieces of equal work. Those that an earlier run had finished are no measure of speed. */
export class ProgressCounter {
  private finished: number;
  private readonly startedAt = performance.now();

  constructor(
    private readonly activity: string,
    private readonly of: number,
    private readonly reused: number,
    private readonly tell: (progress: DatasetProgress) => void = () => {},
  ) {
    this.finished = reused;
  }

  advance(): void {
    this.finished++;
    const { activity, finished, of, reused } = this;
    const elapsedMs = performance.now() - this.startedAt;
    const remainingMs = (elapsedMs * (of - finished)) / (finished - reused);
    this.tell({ activity, finished, of, elapsedMs, remainingMs });
  }
}
