/** Trains with progress on stderr, and stops on Ctrl-C. */
import { InterruptedError, listenForInterrupt } from "../cli/interrupt.ts";
import type { TrainingGroup } from "../../training/group.ts";
import type { TrainingConfig } from "./config.ts";
import { runTraining } from "./run-training.ts";
import { TrainingDisplay } from "./training-display.ts";

export interface TrainWithDisplayOptions {
  readonly group: TrainingGroup;
  readonly resume: boolean;
  readonly quiet: boolean;
}

/** mpirun passes the first of these on to all processes, and sends the second when it is interrupted itself. */
const MPIRUN_SIGNALS: readonly NodeJS.Signals[] = ["SIGUSR2", "SIGTERM"];

/** @throws InterruptedError that says how to go on, after Ctrl-C */
export async function trainWithDisplay(
  config: TrainingConfig,
  { group, resume, quiet }: TrainWithDisplayOptions,
): Promise<{ step: number; numSteps: number }> {
  const display = quiet || group.rank > 0 ? null : new TrainingDisplay();
  const signals = group.size > 1 ? MPIRUN_SIGNALS : [];
  const interrupt = listenForInterrupt((message) => display?.say(message), signals);
  const listener = {
    say: (line: string) => display?.say(line),
    step: (progress: Parameters<TrainingDisplay["step"]>[0]) => display?.step(progress),
  };
  try {
    const result = await runTraining(config, { group, resume, signal: interrupt.signal, listener });
    // All processes of a group stop at the same step; the first tells of it.
    if (result.step === result.numSteps || group.rank > 0) return result;
    throw new InterruptedError(
      `Interrupted after step ${result.step} of ${result.numSteps}. Everything is saved in ${config.out}; run the same ` +
        "command again to go on from there.",
    );
  } finally {
    display?.close();
    interrupt.release();
  }
}
