/** What the command lines of measuring programs have in common. */
import { availableParallelism } from "node:os";
import { type Command, InvalidArgumentError, Option } from "commander";
import { InterruptedError, listenForInterrupt } from "../cli/interrupt.ts";
import { formatDuration } from "../cli/quantities.ts";
import { reportFailure } from "../cli/report-error.ts";

/** Adds the flags that say how videos are judged, and in how many jobs. */
export function withJudgingFlags(command: Command): Command {
  return withJobsFlag(command)
    .option("--pose-step <n>", "look for poses in every n-th frame", positiveInteger, 4)
    .addOption(
      new Option("--pose-quality <network>", "pose network")
        .choices(["lite", "full", "heavy"])
        .default("heavy"),
    );
}

/** Adds the flag that says how many clips are worked on at a time. */
export function withJobsFlag(command: Command): Command {
  return command.option("--jobs <n>", "clips at the same time", positiveInteger, availableParallelism());
}

/** Runs what the arguments ask for; a failure is told as `posegen` tells it. */
export async function runProgram(program: Command): Promise<void> {
  try {
    await program.parseAsync();
  } catch (error) {
    const { text, exitCode } = reportFailure(error);
    console.error(text);
    process.exitCode = exitCode;
  }
}

/**
 * Runs something that goes on when it is run again, and says how long it took and where its report is.
 * @param evaluation returns the folder of the report
 */
export async function interruptible(evaluation: (signal: AbortSignal) => Promise<string>): Promise<void> {
  const interrupt = listenForInterrupt((message) => console.error(message));
  const startedAt = performance.now();
  try {
    const out = await evaluation(interrupt.signal);
    console.error(`Took ${formatDuration(performance.now() - startedAt)}; the report is in ${out}.`);
  } catch (error) {
    if (!interrupt.signal.aborted) throw error;
    throw new InterruptedError(`Interrupted. Run the same command again to go on.`);
  } finally {
    interrupt.release();
  }
}

/** Parses a whole number of at least 0. */
export function integer(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !Number.isSafeInteger(value) || value < 0) {
    throw new InvalidArgumentError("Expected a whole number of at least 0.");
  }
  return value;
}

/** Parses a whole number of at least 1. */
export function positiveInteger(text: string): number {
  const value = integer(text);
  if (value < 1) throw new InvalidArgumentError("Expected a whole number of at least 1.");
  return value;
}
