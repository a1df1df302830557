/** Runs long work with progress on stderr, and ends it on Ctrl-C. */
import { stat } from "node:fs/promises";
import type { GenerateEvent, ObservedRunOptions } from "../../index.ts";
import { InterruptedError, listenForInterrupt } from "./interrupt.ts";
import { ProgressDisplay } from "./progress-display.ts";

export interface DisplayOptions {
  readonly quiet: boolean;
  /** Where work is kept that a later run goes on with; null when nothing is. */
  readonly workDir: string | null;
}

/** @throws InterruptedError that says how to go on, after Ctrl-C */
export async function runWithDisplay<T>(
  { quiet, workDir }: DisplayOptions,
  run: (options: Required<ObservedRunOptions>) => Promise<T>,
): Promise<T> {
  const display = quiet ? null : new ProgressDisplay();
  const interrupt = listenForInterrupt((message) => display?.say(message));
  try {
    return await run({
      signal: interrupt.signal,
      onProgress: (event: GenerateEvent) => display?.show(event),
    });
  } catch (error) {
    if (!interrupt.signal.aborted) throw error;
    throw new InterruptedError(await afterInterrupt(workDir));
  } finally {
    display?.close();
    interrupt.release();
  }
}

async function afterInterrupt(workDir: string | null): Promise<string> {
  const isKept = workDir !== null && (await stat(workDir).catch(() => null)) !== null;
  return isKept
    ? `Interrupted. Finished work is kept in ${workDir}; run the same command again to go on from there.`
    : "Interrupted. Nothing was kept.";
}
