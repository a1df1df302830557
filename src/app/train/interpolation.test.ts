/** The key `interpolation` of a base training, at the smallest size. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { readStepLog } from "../../training/step-log.ts";
import { runHere } from "../cli/testing.ts";
import { tinySettings, writeSettings, writeTinyWorld } from "./testing.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "posegen-interpolation-"));
  await writeTinyWorld(folder);
});
afterAll(() => rm(folder, { recursive: true }));

/** Trains a base; returns what it said on stderr and the losses of its steps. */
async function train(name: string, changes: object): Promise<{ stderr: string; losses: number[] }> {
  const settings = { ...tinySettings(folder, "base"), out: join(folder, name), ...changes };
  const config = await writeSettings(join(folder, `${name}.yaml`), settings);
  const { exitCode, stderr } = await runHere(["train", "--config", config]);
  if (exitCode !== 0) return { stderr, losses: [] };
  const log = await readStepLog(join(folder, name));
  return { stderr, losses: log.map(({ metrics }) => metrics["loss"]!) };
}

test("some steps take their clips from the pasted ones", { timeout: 240_000 }, async () => {
  const pasted = join(folder, "pasted");
  const { losses: without } = await train("without", {});
  const { losses: never } = await train("never", { interpolation: { folder: pasted, share: 0 } });
  const { losses: always } = await train("always", { interpolation: { folder: pasted, share: 1 } });
  expect(without).toHaveLength(4);
  expect(never).toEqual(without);
  expect(always).toHaveLength(4);
  always.forEach((loss, i) => expect(loss).not.toBe(without[i]));
});

test("clips without pictures at their ends are refused", async () => {
  const { stderr } = await train("refused", { interpolation: { folder: join(folder, "clips"), share: 0.5 } });
  expect(stderr).toContain("has no pictures pasted at the ends of its clips");
});
