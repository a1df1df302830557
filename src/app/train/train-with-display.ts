/** Trains with progress on stderr, and stops on Ctrl-C. */
import { InterruptedError, listenForInterrupt } from "../cli/interrupt.ts";
import type { TrainingConfig } from "./config.ts";
import { runTraining } from "./run-training.ts";
import { TrainingDisplay } from "./training-display.ts";

export interface TrainWithDisplayOptions {
  readonly resume: boolean;
  readonly quiet: boolean;
}

/** @throws InterruptedError that says how to go on, after Ctrl-C */
export async function trainWithDisplay(
  config: TrainingConfig,
  { resume, quiet }: TrainWithDisplayOptions,
): Promise<{ step: number; numSteps: number }> {
  const display = quiet ? null : new TrainingDisplay();
  const interrupt = listenForInterrupt((message) => display?.say(message));
  const listener = {
    say: (line: string) => display?.say(line),
    step: (progress: Parameters<TrainingDisplay["step"]>[0]) => display?.step(progress),
  };
  try {
    const result = await runTraining(config, { resume, signal: interrupt.signal, listener });
    if (!interrupt.signal.aborted || result.step === result.numSteps) return result;
    throw new InterruptedError(
      `Interrupted after step ${result.step} of ${result.numSteps}. Everything is saved in ${config.out}; run the same ` +
        "command again to go on from there.",
    );
  } finally {
    display?.close();
    interrupt.release();
  }
}
