export interface JobOptions {
  /** Held-out clips: the first ones of their series. */
  readonly numClips: number;
  /** Clips worked on at the same time, each in one thread. The result does not depend on it. */
  readonly numJobs: number;
  readonly signal?: AbortSignal | undefined;
}

/** What one job works with; it cannot be shared between jobs. */
export interface JobTools<Tools> {
  readonly tools: Tools;
  readonly release: () => Promise<void>;
}

/** Runs a task for every clip, a few at a time; the first failure stops the others. */
export async function inJobs<Tools, T>(
  { numClips, numJobs, signal: stop }: JobOptions,
  open: () => Promise<JobTools<Tools>>,
  task: (index: number, tools: Tools, signal: AbortSignal) => Promise<T>,
): Promise<T[]> {
  const failure = new AbortController();
  const signal = stop ? AbortSignal.any([stop, failure.signal]) : failure.signal;
  const results: T[] = [];
  let next = 0;
  const runJob = async (): Promise<void> => {
    const { tools, release } = await open();
    try {
      for (let index = next++; index < numClips; index = next++) {
        signal.throwIfAborted();
        results[index] = await task(index, tools, signal);
      }
    } finally {
      await release();
    }
  };
  const jobs = Array.from({ length: numJobs }, () =>
    runJob().catch((error: unknown) => failure.abort(error)),
  );
  await Promise.all(jobs);
  failure.signal.throwIfAborted();
  return results;
}
