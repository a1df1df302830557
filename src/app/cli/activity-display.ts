import { type Options, SingleBar } from "cli-progress";
import { formatDuration } from "./quantities.ts";

/** How far something is that takes a while. */
export interface ActivityProgress {
  /** What is being done; another name ends the one before. */
  readonly name: string;
  /** 0..1 */
  readonly fraction: number;
  /** Time since it began. */
  readonly elapsedMs: number;
  /** A few words more. */
  readonly detail: string;
}

/** Without a terminal: a line at least at every such share of an activity, and not more often than this. */
const LINE_FRACTION = 0.1;
const LINE_INTERVAL_MS = 5_000;

/**
 * Shows activities, one after another: a bar for each on a terminal, plain lines elsewhere. Everything goes to stderr,
 * so that stdout holds results alone.
 */
export class ActivityDisplay {
  private name: string | null = null;
  private elapsedMs = 0;
  private bar: SingleBar | null = null;
  private lastLine = { fraction: 0, atMs: 0 };

  /** @param nameWidth of the longest name */
  constructor(
    private readonly nameWidth: number,
    private readonly stream: NodeJS.WriteStream = process.stderr,
  ) {}

  show(progress: ActivityProgress): void {
    if (progress.name !== this.name) {
      this.close();
      this.name = progress.name;
      this.lastLine = { fraction: 0, atMs: 0 };
    }
    this.elapsedMs = progress.elapsedMs;
    if (this.stream.isTTY) this.draw(progress);
    else this.writeLine(progress);
  }

  /** Prints a line, between bars where there are some. */
  say(message: string): void {
    this.hideBar();
    this.stream.write(`${message}\n`);
  }

  /** Ends the last activity. */
  close(): void {
    this.hideBar();
    if (this.name !== null) {
      this.stream.write(`${this.name.padEnd(this.nameWidth)}  ${formatDuration(this.elapsedMs)}\n`);
    }
    this.name = null;
  }

  private draw({ name, fraction, detail }: ActivityProgress): void {
    const payload = { name: name.padEnd(this.nameWidth), detail };
    if (this.bar === null) {
      this.bar = new SingleBar(this.barOptions());
      this.bar.start(1, fraction, payload);
    } else {
      this.bar.update(fraction, payload);
    }
  }

  private barOptions(): Options {
    return {
      stream: this.stream,
      format: "{name}  [{bar}] {percentage}%  {detail}",
      barsize: 24,
      clearOnComplete: true,
      // Seconds may lie between two updates; the terminal must be drawn at each.
      fps: 30,
    };
  }

  private hideBar(): void {
    this.bar?.stop();
    this.bar = null;
  }

  private writeLine({ name, fraction, elapsedMs, detail }: ActivityProgress): void {
    const isDue =
      fraction - this.lastLine.fraction >= LINE_FRACTION &&
      elapsedMs - this.lastLine.atMs >= LINE_INTERVAL_MS;
    if (!isDue) return;
    this.lastLine = { fraction, atMs: elapsedMs };
    const percent = `${Math.round(100 * fraction)}%`.padStart(4);
    this.stream.write(`${name.padEnd(this.nameWidth)} ${percent}  ${detail}\n`);
  }
}
