/** Shows a training on stderr: one line that moves on a terminal, a line now and then elsewhere. */
import { SingleBar } from "cli-progress";
import { formatDuration } from "../cli/quantities.ts";
import { LineClock } from "./line-clock.ts";
import type { TrainingListener, TrainingProgress } from "./monitor.ts";

export class TrainingDisplay implements TrainingListener {
  private bar: SingleBar | null = null;
  private readonly lines = new LineClock();

  constructor(private readonly stream: NodeJS.WriteStream = process.stderr) {}

  say(line: string): void {
    this.close();
    this.stream.write(`${line}\n`);
  }

  step(progress: TrainingProgress): void {
    if (this.stream.isTTY) this.draw(progress);
    else this.writeLine(progress);
  }

  /** Takes the bar away. */
  close(): void {
    this.bar?.stop();
    this.bar = null;
  }

  private draw(progress: TrainingProgress): void {
    const { step, numSteps } = progress;
    const payload = { detail: describeProgress(progress) };
    if (this.bar === null) {
      this.bar = new SingleBar({
        stream: this.stream,
        format: "[{bar}] {value}/{total}  {detail}",
        barsize: 16,
        clearOnComplete: true,
        // Seconds may lie between two steps; the terminal must be drawn at each.
        fps: 30,
      });
      this.bar.start(numSteps, step, payload);
    } else this.bar.update(step, payload);
  }

  private writeLine(progress: TrainingProgress): void {
    const { step, numSteps } = progress;
    if (!this.lines.isDue(step, numSteps)) return;
    this.stream.write(`${step}/${numSteps}  ${describeProgress(progress)}\n`);
  }
}

/** "loss 0.8123, rate 3.0e-4, gradient 0.52, 2.1 samples/s, 74 % of peak, 3 min 12 s left" */
export function describeProgress(progress: TrainingProgress): string {
  const { metrics, learningRate, gradientNorm, samplesPerSecond, peakShare, remainingMs } = progress;
  return [
    `loss ${metrics["loss"]!.toFixed(4)}`,
    `rate ${learningRate.toExponential(1)}`,
    `gradient ${gradientNorm.toPrecision(3)}`,
    `${samplesPerSecond.toPrecision(3)} samples/s`,
    `${Math.round(100 * peakShare)} % of peak`,
    `${formatDuration(remainingMs)} left`,
  ].join(", ");
}
