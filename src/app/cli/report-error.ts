/** What a command that failed says, and with which code it ends. */
import { UserError } from "../../tensor/errors.ts";
import { InterruptedError } from "./interrupt.ts";
import { printable } from "../../runtime/quote.ts";

/** Exit codes: 1 for every failure, 130 after Ctrl-C as shells have it. */
export const EXIT = { failure: 1, interrupted: 130 } as const;

export interface FailureReport {
  /** For stderr. */
  readonly text: string;
  readonly exitCode: number;
}

/** Faults of the machine that no code of ours explains better. */
const SYSTEM_FAULTS: Readonly<Record<string, string>> = {
  ENOSPC: "the disk is full; free some space and run again",
  EDQUOT: "the disk quota is used up; free some space and run again",
  EFBIG: "the file became larger than this system allows",
  EROFS: "the disk is read-only",
  EACCES: "permission denied",
  EPERM: "operation not permitted",
  EMFILE: "too many files are open",
  EIO: "the disk failed to read or write",
};

/** One line for what the user can mend, the stack for what we must. */
export function reportFailure(error: unknown): FailureReport {
  if (error instanceof InterruptedError) return { text: error.message, exitCode: EXIT.interrupted };
  if (error instanceof UserError) return { text: `error: ${oneLine(error.message)}`, exitCode: EXIT.failure };
  const fault = systemFault(error);
  if (fault !== null) return { text: `error: ${fault}`, exitCode: EXIT.failure };
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return {
    text: `${stack}\nThis is a bug in posegen. Please report it with the lines above and the command you ran.`,
    exitCode: EXIT.failure,
  };
}

function systemFault(error: unknown): string | null {
  if (!(error instanceof Error)) return null;
  const { code, path } = error as NodeJS.ErrnoException;
  const meaning = code === undefined ? undefined : SYSTEM_FAULTS[code];
  if (meaning !== undefined) return path === undefined ? meaning : `${path}: ${meaning}`;
  return systemFault(error.cause);
}

/** A list, one fault a line and perhaps indented below a heading, becomes one sentence after another. */
function oneLine(message: string): string {
  const lines = message
    .split("\n")
    .filter((line) => line.trim() !== "")
    .map((text, i) => ({ text: text.trim(), isItem: i > 0 && /^\s/.test(text) }));
  return lines
    .map(({ text, isItem }, i) => {
      const next = lines[i + 1];
      if (next === undefined || /[.:;,?!]$/.test(text)) return printable(text);
      if (next.isItem) return `${printable(text)}${isItem ? ";" : ":"}`;
      return `${printable(text)}.`;
    })
    .join(" ");
}
