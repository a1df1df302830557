/** For tests: runs command lines. */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { vi } from "vitest";
import { createProgram } from "./program.ts";
import { reportFailure } from "./report-error.ts";

export interface Outcome {
  /** 130 also where Ctrl-C ended the process by its signal, as shells count it. */
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command line in this process, up to the line that `main.ts` would print. */
export async function runHere(args: readonly string[]): Promise<Outcome> {
  let [stdout, stderr] = ["", ""];
  const log = vi.spyOn(console, "log").mockImplementation((line: string) => void (stdout += `${line}\n`));
  const write = vi.spyOn(process.stderr, "write").mockImplementation((part) => {
    stderr += String(part);
    return true;
  });
  let exitCode = 0;
  try {
    await createProgram().parseAsync(args, { from: "user" });
  } catch (error) {
    const failure = reportFailure(error);
    stderr += `${failure.text}\n`;
    exitCode = failure.exitCode;
  } finally {
    log.mockRestore();
    write.mockRestore();
  }
  return { exitCode, stdout, stderr };
}

/** Starts `posegen` in a process of its own. */
export interface StartedCommand {
  readonly child: ChildProcess;
  readonly outcome: Promise<Outcome>;
}

const MAIN = fileURLToPath(new URL("./main.ts", import.meta.url));

/** @param limitBlocks files may not become larger than this many blocks of 512 bytes, as on a disk that is full then */
export function start(args: readonly string[], limitBlocks?: number): StartedCommand {
  const node = [process.execPath, "--import", "tsx", MAIN, ...args];
  const [program, ...rest] =
    limitBlocks === undefined ? node : ["sh", "-c", `ulimit -f ${limitBlocks} && exec "$@"`, "sh", ...node];
  const child = spawn(program!, rest, { stdio: ["ignore", "pipe", "pipe"] });
  return { child, outcome: outcomeOf(child) };
}

async function outcomeOf(child: ChildProcess): Promise<Outcome> {
  const [[code, signal], stdout, stderr] = await Promise.all([
    once(child, "close") as Promise<[number | null, NodeJS.Signals | null]>,
    text(child.stdout!),
    text(child.stderr!),
  ]);
  return { exitCode: signal === "SIGINT" ? 130 : code, stdout, stderr };
}

/** Every file below a folder with its length, to see whether anything has appeared or changed. */
export async function listFiles(folder: string): Promise<string[]> {
  const names = (await readdir(folder, { recursive: true })).sort();
  return Promise.all(
    names.map(async (name) => {
      const found = await stat(join(folder, name));
      return found.isFile() ? `${name} ${found.size}` : name;
    }),
  );
}
