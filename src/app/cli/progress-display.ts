import { type Options, SingleBar } from "cli-progress";
import type { GenerateEvent, Phase, ProgressEvent } from "../../index.ts";
import { formatDuration } from "./quantities.ts";

const PHASE_NAMES: Readonly<Record<Phase, string>> = {
  perceive: "poses and hands",
  base: "base segments",
  interpolate: "interpolated segments",
  write: "video",
};

const NAME_WIDTH = Math.max(...Object.values(PHASE_NAMES).map((name) => name.length));

/** Without a terminal: a line at least at every such share of a phase, and not more often than this. */
const LINE_FRACTION = 0.1;
const LINE_INTERVAL_MS = 5_000;

/**
 * Shows what a run tells: one bar per phase on a terminal, plain lines elsewhere. Everything goes to stderr, so that
 * stdout holds results alone.
 */
export class ProgressDisplay {
  private phase: Phase | null = null;
  private elapsedMs = 0;
  private bar: SingleBar | null = null;
  private lastLine = { fraction: 0, atMs: 0 };

  constructor(private readonly stream: NodeJS.WriteStream = process.stderr) {}

  show(event: GenerateEvent): void {
    if (event.type === "progress") this.progress(event);
    else if (event.type === "notice") this.say(event.message);
    else if (event.type === "finished") this.close();
  }

  /** Prints a line, between bars where there are some. */
  say(message: string): void {
    this.hideBar();
    this.stream.write(`${message}\n`);
  }

  /** Ends the last phase. */
  close(): void {
    this.hideBar();
    if (this.phase !== null) {
      this.stream.write(`${PHASE_NAMES[this.phase].padEnd(NAME_WIDTH)}  ${formatDuration(this.elapsedMs)}\n`);
    }
    this.phase = null;
  }

  private progress(event: ProgressEvent): void {
    if (event.phase !== this.phase) {
      this.close();
      this.phase = event.phase;
      this.lastLine = { fraction: 0, atMs: 0 };
    }
    this.elapsedMs = event.elapsedMs;
    if (this.stream.isTTY) this.draw(event);
    else this.writeLine(event);
  }

  private draw(event: ProgressEvent): void {
    const payload = { phase: PHASE_NAMES[event.phase].padEnd(NAME_WIDTH), detail: detail(event) };
    if (this.bar === null) {
      this.bar = new SingleBar(this.barOptions());
      this.bar.start(1, event.fraction, payload);
    } else {
      this.bar.update(event.fraction, payload);
    }
  }

  private barOptions(): Options {
    return {
      stream: this.stream,
      format: "{phase}  [{bar}] {percentage}%  {detail}",
      barsize: 24,
      clearOnComplete: true,
      // Seconds may lie between two events; the terminal must be drawn at each.
      fps: 30,
    };
  }

  private hideBar(): void {
    this.bar?.stop();
    this.bar = null;
  }

  private writeLine(event: ProgressEvent): void {
    const { fraction, elapsedMs, phase } = event;
    const isDue =
      fraction - this.lastLine.fraction >= LINE_FRACTION &&
      elapsedMs - this.lastLine.atMs >= LINE_INTERVAL_MS;
    if (!isDue) return;
    this.lastLine = { fraction, atMs: elapsedMs };
    const percent = `${Math.round(100 * fraction)}%`.padStart(4);
    this.stream.write(`${PHASE_NAMES[phase].padEnd(NAME_WIDTH)} ${percent}  ${detail(event)}\n`);
  }
}

function detail({ activity, segment, step, of, remainingMs }: ProgressEvent): string {
  const what = segment === null ? "frame" : `segment ${segment}, ${activity}`;
  const left = remainingMs === null ? "" : `, ${formatDuration(remainingMs)} left`;
  return `${what} ${step} of ${of}${left}`;
}
