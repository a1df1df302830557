import type { Activity, GenerateEvent, Phase } from "./progress.ts";

/** What has just been finished. */
export interface Finished {
  readonly activity: Activity;
  /** Index of the segment worked on, or null. */
  readonly segment: number | null;
  /** Steps of the activity finished so far, and all of them. */
  readonly step: number;
  readonly of: number;
  /** How much of the phase's work it was. */
  readonly work: number;
}

/**
 * Turns finished work into progress events. Work is counted in any unit that is proportional to time, such as
 * floating-point operations; what is left of a phase takes as long per unit as what this run has done of it.
 */
export class ProgressMeter {
  private phase: Phase = "perceive";
  private totalWork = 0;
  private finishedWork = 0;
  private skippedWork = 0;
  private startedAt = performance.now();

  constructor(private readonly emit: (event: GenerateEvent) => void) {}

  /** Starts the next phase. */
  begin(phase: Phase, totalWork: number): void {
    this.phase = phase;
    this.totalWork = totalWork;
    this.finishedWork = 0;
    this.skippedWork = 0;
    this.startedAt = performance.now();
  }

  /** Counts work that an earlier run had finished: done, but no measure of speed. */
  skip(work: number): void {
    this.skippedWork += work;
  }

  /** Work that has come up unforeseen, such as repeating steps after an interruption. */
  addWork(work: number): void {
    this.totalWork += work;
  }

  advance({ activity, segment, step, of, work }: Finished): void {
    this.finishedWork += work;
    const elapsedMs = performance.now() - this.startedAt;
    const done = this.skippedWork + this.finishedWork;
    const left = Math.max(0, this.totalWork - done);
    this.emit({
      type: "progress",
      phase: this.phase,
      activity,
      segment,
      step,
      of,
      fraction: this.totalWork > 0 ? Math.min(1, done / this.totalWork) : 1,
      elapsedMs,
      remainingMs: this.finishedWork > 0 ? (elapsedMs * left) / this.finishedWork : null,
    });
  }
}
