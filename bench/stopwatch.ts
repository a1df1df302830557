import { matmulSpeed } from "../src/runtime/measure.ts";

/** Median of the durations of `count` runs after one that is not counted, in seconds. */
export async function medianSeconds(count: number, run: () => Promise<unknown>): Promise<number> {
  await run();
  const seconds: number[] = [];
  for (let i = 0; i < count; i++) {
    const begin = performance.now();
    await run();
    seconds.push((performance.now() - begin) / 1000);
  }
  return seconds.sort((a, b) => a - b)[count >> 1]!;
}

/** Seconds of processor time, all threads of this process together, that something takes. */
export async function processorSeconds(run: () => Promise<unknown>): Promise<number> {
  const begin = process.cpuUsage();
  await run();
  const { user, system } = process.cpuUsage(begin);
  return (user + system) / 1e6;
}

/** GFLOPS of matrix products per second of processor time: what other work in processor time is compared with. */
export async function processorPeak(threads: number): Promise<number> {
  const [numProducts, numRuns] = [32, 3];
  const seconds = await processorSeconds(() => matmulSpeed({ threads, numProducts, numRuns }));
  return (numRuns * numProducts * 2 * 1024 ** 3) / seconds / 1e9;
}

/** How far a prediction lies beside what was measured, e.g. "8 % too high". */
export function compared(predicted: number, measured: number): string {
  const percent = Math.round((100 * predicted) / measured - 100);
  return `${Math.abs(percent)} % too ${percent < 0 ? "low" : "high"}`;
}
