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
