/**
 * `mpirun -n 2 posegen train` as a user runs it, at the smallest size. Without mpirun these tests say so, and check that a
 * training by itself loads neither koffi nor MPI; what is summed and shared out is tested in one process
 * (`training/group.test.ts`).
 */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { openSafetensors } from "../../runtime/safetensors.ts";
import { readStepLog } from "../../training/step-log.ts";
import { runHere } from "../cli/testing.ts";
import { ownCores, processesOf } from "./in-group.ts";
import { tinySettings, writeSettings, writeTinyWorld } from "./testing.ts";

/** Starting several programs takes long on a machine that has other work. */
const TIMEOUT_MS = 600_000;

const MAIN = fileURLToPath(new URL("../cli/main.ts", import.meta.url));

const found = spawnSync("mpirun", ["--version"], { encoding: "utf8" });
const hasMpi = found.status === 0 && found.stdout.includes("Open MPI");
if (!hasMpi) {
  console.log(
    "mpirun of OpenMPI is not installed (Debian: openmpi-bin), so no test here starts two processes; " +
      "sums and shares are tested in one process in src/training/group.test.ts",
  );
}

/** OpenMPI refuses to be run by root, and more processes than cores, unless it is told otherwise. */
const FLAGS = ["--oversubscribe", ...(process.getuid?.() === 0 ? ["--allow-run-as-root"] : [])];

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "posegen-mpirun-"));
  await writeTinyWorld(folder);
});
afterAll(() => rm(folder, { recursive: true }));

const at = (...names: string[]): string => join(folder, ...names);

function settingsFile(name: string, changes: object): Promise<string> {
  return writeSettings(at(`${name}.yaml`), { ...tinySettings(folder, "phase1"), out: at(name), ...changes });
}

/** Starts `posegen train` in two processes. */
function startTwo(config: string) {
  const program = [process.execPath, "--import", "tsx", MAIN, "train", "--config", config];
  const child = spawn("mpirun", [...FLAGS, "-n", "2", ...program], { stdio: ["ignore", "pipe", "pipe"] });
  onTestFinished(() => void child.kill());
  const outcome = Promise.all([
    once(child, "close") as Promise<[number | null]>,
    text(child.stdout),
    text(child.stderr),
  ]).then(([[exitCode], stdout, stderr]) => ({ exitCode, stdout, stderr }));
  return { child, outcome };
}

/**
 * Largest relative deviation of a loss, and root mean square of that of weights as a share of the learning rate. Two
 * processes add the gradients of two halves of the clips, one those of all of them: float32 sums in another order.
 */
const TOLERANCE = { loss: 1e-5, weights: 1e-2 } as const;

test.runIf(hasMpi)("two processes make the steps of one", { timeout: TIMEOUT_MS }, async () => {
  const { exitCode, stdout, stderr } = await startTwo(await settingsFile("two", {})).outcome;
  expect(exitCode, stderr).toBe(0);
  // The first alone speaks.
  expect(stdout.trim()).toBe(`${at("two")}: 4 of 4 steps`);
  expect(stderr.match(/training 4 steps/g)).toHaveLength(1);
  const alone = await runHere(["train", "--config", await settingsFile("alone", {})]);
  expect(alone.exitCode, alone.stderr).toBe(0);

  const [two, one] = [await readStepLog(at("two")), await readStepLog(at("alone"))];
  expect(two).toHaveLength(4);
  two.forEach(({ metrics, exchangeMs, waitMs }, i) => {
    expect(Math.abs(metrics["loss"]! / one[i]!.metrics["loss"]! - 1)).toBeLessThan(TOLERANCE.loss);
    expect(exchangeMs).toBeGreaterThan(0);
    expect(waitMs).toBeGreaterThan(0);
  });
  const last = "step-00000004.safetensors";
  const [file, expected] = [await openSafetensors(at("two", last)), await openSafetensors(at("alone", last))];
  let [sum, count] = [0, 0];
  for (const key of [...expected.tensors.keys()].filter((name) => name.startsWith("param."))) {
    const [{ data: a }, { data: b }] = [await file.readFloat32(key), await expected.readFloat32(key)];
    sum = a.reduce((total, x, i) => total + (x - b[i]!) ** 2, sum);
    count += a.length;
  }
  expect(Math.sqrt(sum / count) / 1e-3).toBeLessThan(TOLERANCE.weights);
  expect(await readdir(at("two"))).not.toContain("lock");
});

test.runIf(hasMpi)("a fault is told once and ends both", { timeout: TIMEOUT_MS }, async () => {
  const config = await settingsFile("faulty", { dataset: { folder: at("nowhere") } });
  const { exitCode, stderr } = await startTwo(config).outcome;
  expect(exitCode).not.toBe(0);
  expect(stderr.match(/is no finished dataset/g)).toHaveLength(1);
});

test.runIf(hasMpi)("a signal to mpirun stops both after the same step", { timeout: TIMEOUT_MS }, async () => {
  const stages = [{ untilStep: 100_000, latentFrames: 3, batch: 2 }];
  const checkpoint = { everySteps: 100_000 };
  const { child, outcome } = startTwo(await settingsFile("stopped", { stages, checkpoint }));
  child.stderr.on("data", (part: Buffer) => {
    if (String(part).includes("1/100000")) child.kill("SIGUSR2");
  });
  const { exitCode, stderr } = await outcome;
  expect(exitCode, stderr).toBe(130);
  const [, step] = /Interrupted after step (\d+) of 100000/.exec(stderr) ?? [];
  expect((await readStepLog(at("stopped"))).at(-1)!.step).toBe(Number(step));
  expect(await readdir(at("stopped"))).toContain(`step-${step!.padStart(8, "0")}.safetensors`);
});

test("a training by itself loads neither koffi nor MPI", { timeout: TIMEOUT_MS }, async () => {
  const config = await settingsFile("plain", { stages: [{ untilStep: 1, latentFrames: 3, batch: 1 }] });
  const program = `
    import { readFileSync } from "node:fs";
    const { createProgram } = await import(${JSON.stringify(new URL("../cli/program.ts", import.meta.url).href)});
    await createProgram().parseAsync(["train", "--quiet", "--config", ${JSON.stringify(config)}], { from: "user" });
    console.log(readFileSync("/proc/self/maps", "utf8").match(/koffi|libmpi/g));
  `;
  if (process.platform !== "linux") return console.log("only Linux tells what a process has loaded");
  const args = ["--import", "tsx", "--input-type=module", "--eval", program];
  const { stdout, stderr } = spawnSync(process.execPath, args, { encoding: "utf8" });
  expect(stdout.trim(), stderr).toBe("null");
});

test("what mpirun says is read, and other mpiruns are refused", () => {
  expect(processesOf({})).toEqual({ rank: 0, size: 1, onThisMachine: 1 });
  const env = { OMPI_COMM_WORLD_RANK: "3", OMPI_COMM_WORLD_SIZE: "8", OMPI_COMM_WORLD_LOCAL_SIZE: "4" };
  expect(processesOf(env)).toEqual({ rank: 3, size: 8, onThisMachine: 4 });
  expect(ownCores({ ...env, OMPI_COMM_WORLD_LOCAL_SIZE: "100000" })).toBe(1);
  expect(() => processesOf({ PMI_RANK: "0" })).toThrow("an mpirun that is not OpenMPI's (PMI_RANK is set)");
});
