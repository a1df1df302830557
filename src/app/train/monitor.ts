/** Watches a training: speed, time left, TensorBoard events, the loss plot. */
import { matmulSpeed } from "../../runtime/measure.ts";
import type { StepReport } from "../../training/train.ts";
import { type TrainingConfig, numStepsOf } from "./config.ts";
import { writeLossPlot } from "./loss-plot.ts";
import { writeRunConfig } from "./run-folder.ts";
import type { Sheet } from "./sheet.ts";
import { EventFile } from "./tensorboard.ts";

/** What one step takes. */
export interface StepCost {
  /** Of this process. */
  readonly flops: number;
  /** Of all processes together. */
  readonly samples: number;
}

/** What is known after a step. */
export interface TrainingProgress extends StepReport {
  /** Clips, or windows of them, per second. */
  readonly samplesPerSecond: number;
  /** Share of the speed at which this machine multiplies matrices, 0..1. */
  readonly peakShare: number;
  readonly remainingMs: number;
}

export interface TrainingListener {
  /** Something worth a line. */
  say(line: string): void;
  step(progress: TrainingProgress): void;
}

/** Weight of the newest step in the mean speed. */
const NEWEST = 0.1;

export class Monitor {
  private events: EventFile | null = null;
  private peakFlops = NaN;
  /** Mean over recent steps. */
  private flopsPerMs: number | null = null;
  private hasStepped = false;

  /** @param costAt what the step from `step` to `step + 1` takes */
  constructor(
    private readonly config: TrainingConfig,
    private readonly threads: number,
    private readonly listener: TrainingListener,
    private readonly costAt: (step: number) => StepCost,
  ) {}

  /** To be called when settings and checkpoint are known to fit, before the first step. */
  async start(step: number): Promise<void> {
    await writeRunConfig(this.config);
    this.events = await EventFile.open(this.config.out, step);
    this.peakFlops = 1e9 * (await matmulSpeed({ threads: this.threads, numProducts: 2, numRuns: 3 }));
    const numSteps = numStepsOf(this.config);
    this.listener.say(
      step === 0 ? `training ${numSteps} steps` : `going on after step ${step} of ${numSteps}`,
    );
  }

  async step(report: StepReport): Promise<void> {
    const { flops, samples } = this.costAt(report.step - 1);
    const speed = flops / report.durationMs;
    const mean = this.flopsPerMs === null ? speed : (1 - NEWEST) * this.flopsPerMs + NEWEST * speed;
    // The first step of a start also prepares the graph.
    if (this.hasStepped) this.flopsPerMs = mean;
    this.hasStepped = true;
    const progress = {
      ...report,
      samplesPerSecond: (1000 * samples) / report.durationMs,
      peakShare: (1000 * speed) / this.peakFlops,
      remainingMs: this.flopsAfter(report.step) / mean,
    };
    const { metrics, learningRate, gradientNorm, samplesPerSecond, peakShare } = progress;
    this.scalars(report.step, "train/", { ...metrics, learningRate, gradientNorm });
    const { waitMs, exchangeMs } = report;
    const exchange = exchangeMs === undefined ? {} : { waitMs: waitMs!, exchangeMs };
    this.scalars(report.step, "speed/", { samplesPerSecond, peakShare, ...exchange });
    await this.events?.flush();
    const { everySteps } = this.config.checkpoint;
    if (report.step % everySteps === 0 || report.step === report.numSteps)
      await writeLossPlot(this.config.out);
    this.listener.step(progress);
  }

  /** Adds numbers to the TensorBoard events. */
  scalars(step: number, prefix: string, values: Readonly<Record<string, number>>): void {
    for (const [name, value] of Object.entries(values)) this.events?.scalar(step, prefix + name, value);
  }

  /** Tells of a sample sheet and adds it to the TensorBoard events. */
  sheet(sheet: Sheet): void {
    this.events?.image(sheet.step, "samples", sheet.png, sheet);
    this.listener.say(`wrote ${sheet.path}`);
  }

  async close(): Promise<void> {
    await this.events?.flush();
  }

  private flopsAfter(step: number): number {
    // Stages are few: their ends are where the cost changes.
    const ends =
      this.config.kind === "vae" ? [this.config.steps] : this.config.stages.map(({ untilStep }) => untilStep);
    let [from, sum] = [step, 0];
    for (const end of ends) {
      if (end <= from) continue;
      sum += (end - from) * this.costAt(from).flops;
      from = end;
    }
    return sum;
  }
}
