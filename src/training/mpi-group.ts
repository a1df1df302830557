import { setImmediate as yieldOnce, setTimeout as sleep } from "node:timers/promises";
import { type GroupTimes, type TrainingGroup } from "./group.ts";
import { type Mpi } from "./mpi.ts";

/** Others are asked for at once for this long, then less and less often. */
const EAGER_MS = 2;
const MAX_SLEEP_MS = 5;

/** The processes that mpirun has started. */
export class MpiGroup implements TrainingGroup {
  readonly rank: number;
  readonly size: number;
  private times: GroupTimes = { waitMs: 0, exchangeMs: 0 };

  constructor(private readonly mpi: Mpi) {
    this.rank = mpi.rank;
    this.size = mpi.size;
  }

  sum(values: Float32Array): Promise<void> {
    return this.exchange(() => this.mpi.sum(values));
  }

  share(values: Float32Array): Promise<void> {
    return this.exchange(() => this.mpi.share(values));
  }

  takeTimes(): GroupTimes {
    const { times } = this;
    this.times = { waitMs: 0, exchangeMs: 0 };
    return times;
  }

  /** Leaves the group, together with all others. */
  async leave(): Promise<void> {
    await this.arrival();
    this.mpi.finalize();
  }

  /** Ends all processes, this one too. */
  abort(exitCode: number): void {
    this.mpi.abort(exitCode);
  }

  /** MPI spins while it waits; so the exchange begins only when all are there, and the time until then is given away. */
  private async exchange(run: () => void): Promise<void> {
    const begin = performance.now();
    await this.arrival();
    const arrived = performance.now();
    run();
    const { waitMs, exchangeMs } = this.times;
    this.times = {
      waitMs: waitMs + arrived - begin,
      exchangeMs: exchangeMs + performance.now() - arrived,
    };
  }

  private async arrival(): Promise<void> {
    const haveAllArrived = this.mpi.beginBarrier();
    const begin = performance.now();
    for (let sleepMs = 1; !haveAllArrived();) {
      if (performance.now() - begin < EAGER_MS) await yieldOnce();
      else {
        await sleep(sleepMs);
        sleepMs = Math.min(sleepMs + 1, MAX_SLEEP_MS);
      }
    }
  }
}
