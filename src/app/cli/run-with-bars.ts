/** Makes a dataset with progress on stderr, and stops on Ctrl-C. */
import type { DatasetOptions, DatasetProgress } from "../dataset/progress.ts";
import { ActivityDisplay } from "./activity-display.ts";
import { InterruptedError, listenForInterrupt } from "./interrupt.ts";
import { formatDuration } from "./quantities.ts";

const NAME_WIDTH = "videos read".length;

/** @throws InterruptedError that says how to go on, after Ctrl-C */
export async function runWithBars<T>(
  { quiet = false }: { readonly quiet?: boolean },
  run: (options: Required<DatasetOptions>) => Promise<T>,
): Promise<T> {
  const display = quiet ? null : new ActivityDisplay(NAME_WIDTH);
  const interrupt = listenForInterrupt((message) => display?.say(message));
  try {
    return await run({
      signal: interrupt.signal,
      onProgress: (progress) => display?.show({ ...progress, ...shown(progress) }),
      onNotice: (message) => display?.say(message),
    });
  } catch (error) {
    if (!interrupt.signal.aborted) throw error;
    throw new InterruptedError(
      "Interrupted. Finished clips are kept; run the same command again to go on from there.",
    );
  } finally {
    display?.close();
    interrupt.release();
  }
}

function shown({ activity, finished, of, remainingMs }: DatasetProgress) {
  const left = remainingMs === null ? "" : `, ${formatDuration(remainingMs)} left`;
  return { name: activity, fraction: of > 0 ? finished / of : 1, detail: `${finished} of ${of}${left}` };
}
