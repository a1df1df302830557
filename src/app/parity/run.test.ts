import { cp, mkdir, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { FIXTURE_KINDS } from "./fixtures.ts";
import { metricsCheck } from "./metrics.ts";
import { noiseCheck } from "./noise.ts";
import { planCheck } from "./plan.ts";
import type { ParityCheck } from "./rows.ts";
import { runParity, type FolderReport } from "./run.ts";
import { schedulerCheck } from "./scheduler.ts";
import { skeletonCheck } from "./skeleton.ts";

const fixtures = join(import.meta.dirname, "../../../fixtures");
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "parity-"));
});
afterAll(() => rm(folder, { recursive: true }));

async function report(dir: string): Promise<FolderReport[]> {
  const reports: FolderReport[] = [];
  for await (const each of runParity(dir, FIXTURE_KINDS)) reports.push(each);
  return reports;
}

/** A copy of a fixture in a folder of its own name; `edit` changes one of its JSON files. */
async function copyOf(name: string, file: string, edit: (text: string) => string): Promise<string> {
  const copy = join(await mkdtemp(join(folder, `${name}-`)), "any-name");
  await cp(join(fixtures, name), copy, { recursive: true });
  await writeFile(join(copy, file), edit(await readFile(join(copy, file), "utf8")));
  return copy;
}

describe("checks without an engine", () => {
  it.each<ParityCheck>([noiseCheck, schedulerCheck, planCheck, metricsCheck, skeletonCheck])(
    "$folder agrees with its fixture",
    async ({ folder: name, run }) => {
      const rows = await run(join(fixtures, name));
      expect(rows.length).toBeGreaterThan(5);
      expect(rows.filter(({ pass }) => !pass)).toEqual([]);
    },
  );
});

describe("runParity", () => {
  it("knows a folder by its content, whatever its name", async () => {
    const copy = await copyOf("noise", "config.json", (text) => text);
    const [only, ...more] = await report(join(copy, ".."));
    expect(more).toEqual([]);
    expect(only!.folder).toBe("any-name");
    expect(only!.rows.length).toBeGreaterThan(5);
    expect(only!.rows.every(({ pass }) => pass)).toBe(true);
    expect(await report(copy)).toEqual([only]);
  });

  it("knows every folder that the project brings", async () => {
    for (const name of await readdir(fixtures)) {
      const { what } = JSON.parse(await readFile(join(fixtures, name, "config.json"), "utf8")) as {
        what: string;
      };
      expect(
        FIXTURE_KINDS.filter((kind) => kind.what.test(what)),
        name,
      ).toHaveLength(1);
    }
  });

  it("does not pass folders that it does not know or cannot read", async () => {
    const strange = join(folder, "strange");
    for (const [name, config] of [
      ["a", '{"what":"something else"}'],
      ["b", "not JSON"],
      ["c", '{"what":"FlowMatchScheduler without files"}'],
    ] as const) {
      await mkdir(join(strange, name), { recursive: true });
      await writeFile(join(strange, name, "config.json"), config);
    }
    await mkdir(join(strange, "d"));
    const reports = await report(strange);
    expect(reports.map((each) => each.folder)).toEqual(["a", "b", "c", "d"]);
    for (const { rows } of reports) expect(rows.map(({ pass }) => pass)).toEqual([false]);
    expect(reports[0]!.rows[0]!.name).toMatch(/unknown fixture: "something else"/);
  });

  it("refuses a place with nothing to check", async () => {
    await expect(report(join(folder, "missing"))).rejects.toThrow(/cannot list/);
    const empty = await mkdtemp(join(folder, "empty-"));
    await expect(report(empty)).rejects.toThrow(/holds no folders/);
  });

  it.each([
    ["plan", "plan.json", (text: string) => text.replace('"output_length": 150', '"output_length": 149')],
    ["plan", "crossfade.json", (text: string) => text.replace('"overlap": 21', '"overlap": 20')],
    ["metrics", "expected.json", (text: string) => text.replace('"fd": 6.9', '"fd": 7.9')],
    ["metrics", "expected.json", (text: string) => text.replace('"fd":', '"fd_of_another_kind": 1, "fd":')],
    ["metrics", "config.json", (text: string) => text.replace('"ssim": 1e-06', '"ssim": -1')],
    ["skeleton", "keypoints.json", (text: string) => text.replace('"width": 144', '"width": 145')],
    ["scheduler", "config.json", (text: string) => text.replace("shift=5", "shift=6")],
  ])("finds what is off in %s: %s", async (name, file, edit) => {
    const copy = await copyOf(name, file, edit);
    const [{ rows }] = (await report(copy)) as [FolderReport];
    expect(rows.some(({ pass }) => !pass)).toBe(true);
    expect(rows.some(({ pass }) => pass)).toBe(true);
  });
});
