/**
 * Opens damaged files of every kind that may come from strangers. Each must be read, or refused with one line, in less
 * than a second of processor time. Usage: npm run fuzz -- [files] [seed]
 */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { UserError } from "../src/tensor/errors.ts";
import { Random } from "../src/tensor/random.ts";
import { fuzzTargets } from "./fuzz-targets.ts";
import { mutate } from "./mutate.ts";

/** Where files that were not handled well are kept. */
const KEPT = "out/fuzz";
const MAX_CPU_MS = 1000;
const MAX_MESSAGE_CHARS = 1000;
/** Without progress for so long, the process is taken to hang, and killed. */
const MAX_WAIT_MS = 120_000;

const [numFiles = 100_000, seed = 1] = process.argv.slice(2).map(Number);
const random = new Random(seed);
const folder = await mkdtemp(join(tmpdir(), "posegen-fuzz-"));
const targets = fuzzTargets();
const progress = watch();
const counts = { read: 0, refused: 0, failed: 0 };
let slowestMs = 0;
let peakBytes = 0;
/** The same when a tenth of the files have been opened: beyond it, memory should not grow. */
let earlyPeakBytes = 0;
try {
  for (let i = 0; i < numFiles; i++) {
    Atomics.store(progress, 0, i);
    const target = targets[i % targets.length]!;
    const bytes = target.make(random.fork(i), mutate);
    const path = join(folder, target.fileName);
    await writeFile(path, bytes);
    const before = process.cpuUsage();
    const outcome = await target.open(path).then(
      () => "read" as const,
      (error: unknown) => fault(error) ?? ("refused" as const),
    );
    const { user, system } = process.cpuUsage(before);
    const cpuMs = (user + system) / 1000;
    slowestMs = Math.max(slowestMs, cpuMs);
    peakBytes = Math.max(peakBytes, process.memoryUsage.rss());
    if (i === Math.floor(numFiles / 10)) earlyPeakBytes = peakBytes;
    const complaint = cpuMs > MAX_CPU_MS ? `took ${Math.round(cpuMs)} ms` : outcome;
    if (complaint === "read" || complaint === "refused") counts[complaint]++;
    else {
      counts.failed++;
      await mkdir(KEPT, { recursive: true });
      await writeFile(join(KEPT, `${i}-${target.fileName}`), bytes);
      console.log(`${KEPT}/${i}-${target.fileName}: ${complaint}`);
    }
  }
} finally {
  await rm(folder, { recursive: true, force: true });
}
console.log(
  `${numFiles} files: ${counts.read} read, ${counts.refused} refused, ${counts.failed} failed; ` +
    `slowest ${Math.round(slowestMs)} ms of processor time, peak memory ${mebibytes(earlyPeakBytes)} in the ` +
    `first tenth, ${mebibytes(peakBytes)} in all`,
);
process.exit(counts.failed > 0 ? 1 : 0);

function mebibytes(bytes: number): string {
  return `${Math.round(bytes / 2 ** 20)} MiB`;
}

/** What is wrong with an error, or null for a proper refusal. */
function fault(error: unknown): string | null {
  if (!(error instanceof UserError))
    return `crashed: ${error instanceof Error ? error.stack : String(error)}`;
  const isOneLine = /^[^\p{Cc}]+$/u.test(error.message) && error.message.length <= MAX_MESSAGE_CHARS;
  return isOneLine ? null : `is refused with more than one line: ${JSON.stringify(error.message)}`;
}

/**
 * Keeps the file and kills the process when the number of the file stays the same: the watcher is a thread, and no loop
 * stops it.
 */
function watch(): Int32Array {
  const shared = new Int32Array(new SharedArrayBuffer(4));
  const code = `
    const { shared, folder, kept } = require("node:worker_threads").workerData;
    let last = -1;
    setInterval(() => {
      const now = Atomics.load(shared, 0);
      if (now === last) {
        require("node:fs").cpSync(folder, kept + "/" + now + "-hangs", { recursive: true });
        require("node:fs").writeSync(1, kept + "/" + now + "-hangs\\n");
        process.kill(process.pid, "SIGKILL");
      }
      last = now;
    }, ${MAX_WAIT_MS});`;
  new Worker(code, { eval: true, workerData: { shared, folder, kept: KEPT } }).unref();
  return shared;
}
