/** Writes or fetches large files with progress on stderr, and stops on Ctrl-C. */
import type { TransferOptions } from "../models/transfer.ts";
import { ActivityDisplay } from "./activity-display.ts";
import { InterruptedError, listenForInterrupt } from "./interrupt.ts";
import { formatBytes, formatDuration } from "./quantities.ts";

/** @throws InterruptedError that says `afterInterrupt`, after Ctrl-C */
export async function runWithBytes<T>(
  afterInterrupt: string,
  run: (options: TransferOptions) => Promise<T>,
): Promise<T> {
  const display = new ActivityDisplay("convert".length);
  const interrupt = listenForInterrupt((message) => display.say(message));
  const beginMs = performance.now();
  let before: number | null = null;
  try {
    return await run({
      signal: interrupt.signal,
      onProgress: ({ name, doneBytes, totalBytes }) => {
        // What was there already tells nothing of the speed.
        before ??= doneBytes;
        const elapsedMs = performance.now() - beginMs;
        const speed = (doneBytes - before) / elapsedMs;
        const left = speed > 0 ? `, ${formatDuration((totalBytes - doneBytes) / speed)} left` : "";
        const detail = `${formatBytes(doneBytes)} of ${formatBytes(totalBytes)}${left}`;
        display.show({ name, fraction: totalBytes > 0 ? doneBytes / totalBytes : 1, elapsedMs, detail });
      },
      onNotice: (message) => display.say(message),
    });
  } catch (error) {
    if (!interrupt.signal.aborted) throw error;
    throw new InterruptedError(`Interrupted. ${afterInterrupt}`);
  } finally {
    display.close();
    interrupt.release();
  }
}
