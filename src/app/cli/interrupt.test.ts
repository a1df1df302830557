import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { writeTinyInputs, type TinyInputs } from "../../pipeline/testing.ts";
import { runHere, start } from "./testing.ts";

let folder: string;
let inputs: TinyInputs;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "posegen-interrupt-"));
  inputs = await writeTinyInputs(folder, 13);
});

afterAll(async () => rm(folder, { recursive: true, force: true }));

const out = (name: string): string => join(folder, `${name}.mp4`);

/** Enough steps that the process is still at work when it is interrupted. */
function args(name: string): string[] {
  const { image, keypoints, model } = inputs;
  const flags = { image, keypoints, model, out: out(name), steps: "30", threads: "1" };
  return ["generate", ...Object.entries(flags).flatMap(([flag, value]) => [`--${flag}`, value])];
}

/** Waits until the first segment is finished and the second one begun. */
async function waitForFirstSegment(name: string): Promise<void> {
  while ((await stat(`${out(name)}.work/segment-0000.json`).catch(() => null)) === null) await sleep(20);
}

test("Ctrl-C keeps finished work, says how to go on, and the next run ends with the same bytes", async () => {
  const { child, outcome } = start(args("interrupted"));
  await waitForFirstSegment("interrupted");
  child.kill("SIGINT");
  const { exitCode, stdout, stderr } = await outcome;
  expect(exitCode).toBe(130);
  expect(stdout).toBe("");
  expect(stderr).toContain("Stopping after the running step. Press Ctrl-C again to stop at once.\n");
  expect(stderr).toContain(`Finished work is kept in ${out("interrupted")}.work; run the same command again`);
  expect(stderr).not.toContain("    at ");
  expect(await stat(out("interrupted")).catch(() => null)).toBeNull();

  const resumed = await runHere(args("interrupted"));
  expect(resumed).toMatchObject({
    exitCode: 0,
    stdout: expect.stringContaining("13 frames of 32x48") as string,
  });
  expect(await stat(`${out("interrupted")}.work`).catch(() => null)).toBeNull();
  await runHere(args("uninterrupted"));
  expect(await readFile(out("interrupted"))).toEqual(await readFile(out("uninterrupted")));
});

test("a second Ctrl-C ends the process at once", async () => {
  const { child, outcome } = start(args("twice"));
  await waitForFirstSegment("twice");
  child.kill("SIGINT");
  await sleep(1);
  child.kill("SIGINT");
  expect((await outcome).exitCode).toBe(130);
  expect(await stat(out("twice")).catch(() => null)).toBeNull();
});
