import { mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { WorkDirectory } from "./work-directory.ts";

let path: string;
beforeEach(async () => {
  path = await mkdtemp(join(tmpdir(), "posegen-work-"));
});
afterEach(() => rm(path, { recursive: true, force: true }));

const settings = { seed: "1", image: "sha256 a" };

async function runOnce(content: string, needs: string[] = []): Promise<{ reused: boolean; key: string }> {
  const work = await WorkDirectory.open(path, settings);
  try {
    return await work.step({
      id: "one",
      needs,
      files: ["one.txt"],
      run: ([file]) => writeFile(file!, content),
    });
  } finally {
    await work.close();
  }
}

test("a finished step is reused", async () => {
  expect((await runOnce("first")).reused).toBe(false);
  expect((await runOnce("second")).reused).toBe(true);
  expect(await readFile(join(path, "one.txt"), "utf8")).toBe("first");
});

test("a step with other needs runs again", async () => {
  await runOnce("first");
  expect((await runOnce("second", ["other"])).reused).toBe(false);
  expect(await readFile(join(path, "one.txt"), "utf8")).toBe("second");
});

test.each(["changed", "firs"])("a step whose file became '%s' runs again", async (damage) => {
  await runOnce("first");
  await writeFile(join(path, "one.txt"), damage);
  expect((await runOnce("second")).reused).toBe(false);
});

test("a broken record does not count", async () => {
  await runOnce("first");
  await writeFile(join(path, "one.json"), "{");
  expect((await runOnce("second")).reused).toBe(false);
});

test("a step that fails leaves no file under its name", async () => {
  const work = await WorkDirectory.open(path, settings);
  const failing = work.step({
    id: "one",
    files: ["one.txt"],
    run: async ([file]) => {
      await writeFile(file!, "half");
      throw new Error("killed");
    },
  });
  await expect(failing).rejects.toThrow("killed");
  await expect(readFile(join(path, "one.txt"))).rejects.toThrow("ENOENT");
  await work.close();
});

test("other settings are refused by name", async () => {
  await runOnce("first");
  await expect(WorkDirectory.open(path, { ...settings, seed: "2" })).rejects.toThrow("seed was 1, now 2");
  // The refusal gave the lock back.
  expect((await runOnce("again")).reused).toBe(true);
});

test("another version is refused", async () => {
  await runOnce("first");
  await writeFile(join(path, "run.json"), JSON.stringify({ format: 99, settings }));
  await expect(WorkDirectory.open(path, settings)).rejects.toThrow("made by another version");
});

test("a folder in use is refused, and one left by a dead process is taken over", async () => {
  await writeFile(join(path, "lock"), "1\n");
  await expect(WorkDirectory.open(path, settings)).rejects.toThrow("held by process 1");
  await writeFile(join(path, "lock"), "2147483646\n");
  expect((await runOnce("first")).reused).toBe(false);
});

test("a finished step is found without running it, until it is discarded", async () => {
  const step = { id: "one", files: ["one.txt"] };
  const work = await WorkDirectory.open(path, settings);
  expect(await work.find(step)).toBeNull();
  expect(await work.isEmpty()).toBe(true);
  const { key } = await work.step({ ...step, run: ([file]) => writeFile(file!, "first") });
  expect(await work.find(step)).toMatchObject({ key, reused: true, paths: [join(path, "one.txt")] });
  expect(await work.isEmpty()).toBe(false);
  await work.discard("one", ["one.txt"]);
  expect(await work.find(step)).toBeNull();
  expect((await readdir(path)).sort()).toEqual(["lock", "run.json"]);
  await work.close();
});

test("what a killed run was writing is removed, and a folder killed while it was emptied is still ours", async () => {
  await runOnce("first");
  await writeFile(join(path, "two.frames.partial"), "half");
  await writeFile(join(path, ".partial-two.frames"), "half");
  expect((await runOnce("second")).reused).toBe(true);
  expect((await readdir(path)).sort()).toEqual(["one.json", "one.txt", "run.json"]);
  await rm(join(path, "one.txt"));
  expect((await runOnce("third")).reused).toBe(false);
});

test("starting again empties the folder, whatever its settings", async () => {
  await runOnce("first");
  const work = await WorkDirectory.open(path, { seed: "2" }, true);
  expect((await readdir(path)).sort()).toEqual(["lock", "run.json"]);
  await work.remove();
  await expect(readdir(path)).rejects.toThrow("ENOENT");
});

test("a folder that holds other things is left alone", async () => {
  await writeFile(join(path, "thesis.txt"), "precious");
  await expect(WorkDirectory.open(path, settings, true)).rejects.toThrow("holds other files (thesis.txt)");
  expect(await readdir(path)).toEqual(["thesis.txt"]);
});
