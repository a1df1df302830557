/** Ctrl-C: the first one lets the running step finish, the second one ends the process at once. */

export interface Interrupt {
  readonly signal: AbortSignal;
  /** Leaves Ctrl-C to the system again. */
  release(): void;
}

/** The signal's reason after Ctrl-C; its message is for the person who pressed it. */
export class InterruptedError extends Error {
  override readonly name = "InterruptedError";
}

/**
 * Listens for SIGINT until `release`.
 * @param announce told what happens now
 * @param others signals that mean the same as the first Ctrl-C
 */
export function listenForInterrupt(
  announce: (message: string) => void,
  others: readonly NodeJS.Signals[] = [],
): Interrupt {
  const controller = new AbortController();
  const stop = () => {
    if (controller.signal.aborted) return;
    controller.abort(new InterruptedError("interrupted"));
    announce("Stopping after the running step. Press Ctrl-C again to stop at once.");
  };
  const onSigint = () => {
    if (!controller.signal.aborted) return stop();
    // Leaving through process.exit while a worker computes would abort with a core dump; the signal does not.
    process.off("SIGINT", onSigint);
    process.kill(process.pid, "SIGINT");
  };
  process.on("SIGINT", onSigint);
  for (const signal of others) process.on(signal, stop);
  return {
    signal: controller.signal,
    release() {
      process.off("SIGINT", onSigint);
      for (const signal of others) process.off(signal, stop);
    },
  };
}
