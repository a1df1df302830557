/**
 * Work in processes of their own: a file that makes a decoder crash ends one worker, not the run. Jobs are handed out
 * one by one; which worker does a job, and how many there are, has no effect on what it makes.
 */
import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { entryPoint } from "../../runtime/entry-point.ts";
import { type PortableError, unpackError } from "../../runtime/protocol.ts";

/** From the pool to a worker: what it works with, then one job at a time. */
export type ToWorker = { readonly setup: unknown } | { readonly job: unknown };

/** Back: ready for a job, or how one ended. */
export type FromWorker =
  | { readonly ready: true }
  | { readonly result: unknown }
  | { readonly error: PortableError };

/** How a job ended: with a result, or with the process that did it. */
export type Outcome<R> = { readonly result: R } | { readonly crash: string };

export interface PoolOptions {
  readonly numWorkers: number;
  /** No more jobs are begun once it aborts; those begun are finished. */
  readonly signal?: AbortSignal;
}

/**
 * Does all jobs, in any order.
 * @param setup what workers are told first; plain data, as jobs and results are
 * @param onOutcome called after each job, never twice at a time
 * @throws what a worker throws; the signal's reason when it aborts
 */
export async function runJobs<J, R>(
  setup: unknown,
  jobs: readonly J[],
  { numWorkers, signal }: PoolOptions,
  onOutcome: (job: J, outcome: Outcome<R>) => void,
): Promise<void> {
  const waiting = [...jobs];
  const workers = Array.from({ length: Math.min(numWorkers, jobs.length) }, () => new WorkerProcess(setup));
  const serve = async (worker: WorkerProcess): Promise<void> => {
    for (let job = waiting.shift(); job !== undefined; job = waiting.shift()) {
      if (signal?.aborted) return;
      onOutcome(job, await worker.run<R>(job));
    }
  };
  try {
    await Promise.all(
      workers.map((worker) =>
        serve(worker).catch((error: unknown) => {
          waiting.length = 0;
          throw error;
        }),
      ),
    );
    signal?.throwIfAborted();
  } finally {
    for (const worker of workers) worker.end();
  }
}

/** One worker; a process that is gone is replaced when the next job comes. */
class WorkerProcess {
  private child: ChildProcess | null = null;

  constructor(private readonly setup: unknown) {}

  async run<R>(job: unknown): Promise<Outcome<R>> {
    if (this.child === null) {
      const { url, argv } = entryPoint("../app/dataset/worker");
      this.child = fork(fileURLToPath(url), argv, { execArgv: [], serialization: "advanced" });
      const started = await this.ask(this.child, { setup: this.setup });
      if ("crash" in started) throw new Error(`a worker could not start: it ended with ${started.crash}`);
    }
    const outcome = await this.ask(this.child, { job });
    if ("crash" in outcome) this.child = null;
    return outcome as Outcome<R>;
  }

  /** Lets the process go; it ends by itself. */
  end(): void {
    if (this.child?.connected) this.child.disconnect();
  }

  private ask(child: ChildProcess, message: ToWorker): Promise<Outcome<unknown>> {
    return new Promise((resolve, reject) => {
      const onExit = (code: number | null, signal: NodeJS.Signals | null): void => {
        child.off("message", onMessage);
        resolve({ crash: signal ?? `exit code ${code}` });
      };
      const onMessage = (answer: FromWorker): void => {
        child.off("exit", onExit);
        if ("error" in answer) reject(unpackError(answer.error));
        else resolve({ result: "result" in answer ? answer.result : null });
      };
      if (!child.connected) return onExit(child.exitCode, child.signalCode);
      child.once("exit", onExit);
      child.once("message", onMessage);
      // A process that ends just now takes no message; its exit tells.
      child.send(message, () => {});
    });
  }
}
