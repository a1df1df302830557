import { spawn, type ChildProcessByStdio } from "node:child_process";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";

/** A running ffmpeg or ffprobe. */
export interface FfmpegProcess {
  readonly stdin: Writable;
  readonly stdout: Readable;
  /** Lines on stderr, each read once. */
  readonly messages: AsyncIterableIterator<string>;
  /** The exit status. */
  readonly ended: Promise<number>;
  kill(): void;
}

/** Starts a program of FFmpeg found on PATH. */
export function startFfmpeg(program: "ffmpeg" | "ffprobe", args: readonly string[]): FfmpegProcess {
  const child: ChildProcessByStdio<Writable, Readable, Readable> = spawn(program, args, { stdio: "pipe" });
  const ended = new Promise<number>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve(code ?? 1));
  });
  // Whoever needs the outcome awaits it; until then a failure is not unhandled.
  ended.catch(() => {});
  // A broken pipe is reported by the program's own exit.
  child.stdin.on("error", () => {});
  const messages = createInterface({ input: child.stderr })[Symbol.asyncIterator]();
  return {
    stdin: child.stdin,
    stdout: child.stdout,
    messages,
    ended,
    kill: () => void child.kill("SIGKILL"),
  };
}

/** Whether both programs are on PATH. */
export async function hasFfmpeg(): Promise<boolean> {
  const run = async (program: "ffmpeg" | "ffprobe") => {
    const child = startFfmpeg(program, ["-version"]);
    child.stdout.resume();
    return (await child.ended.catch(() => 1)) === 0;
  };
  return (await run("ffmpeg")) && (await run("ffprobe"));
}
