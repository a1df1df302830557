import { Lane } from "../src/runtime/lane.ts";
import { processorPeak, processorSeconds } from "./stopwatch.ts";

/** Time from one probe to the next, at least. */
const INTERVAL_MS = 15_000;

/** A lane that measures the speed of matrix products between its runs: minutes later a processor has another one. */
export class ProbingLane extends Lane {
  /** GFLOPS per second of processor time, one value for each probe. */
  readonly peaks: number[] = [];
  /** Processor time that the probes have taken. */
  probeSeconds = 0;
  private probedMs = -Infinity;

  constructor(private readonly threads: number) {
    super();
  }

  override async request(...args: Parameters<Lane["request"]>): ReturnType<Lane["request"]> {
    if (args[0] === "run" && performance.now() - this.probedMs >= INTERVAL_MS) await this.probe();
    return super.request(...args);
  }

  async probe(): Promise<void> {
    this.probeSeconds += await processorSeconds(async () => {
      this.peaks.push(await processorPeak(this.threads));
    });
    this.probedMs = performance.now();
  }

  /** The speed that the same number of products at each probe would have had: the harmonic mean. */
  get meanPeak(): number {
    return this.peaks.length / this.peaks.reduce((sum, peak) => sum + 1 / peak, 0);
  }
}
