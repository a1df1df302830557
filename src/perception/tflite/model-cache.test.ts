import { mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { defaultCacheFolder, loadConvertedModel } from "./model-cache.ts";

let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "posegen-cache-"));
});
afterEach(async () => {
  await rm(folder, { recursive: true });
});

const cachedFile = async (): Promise<string> => {
  const files = await readdir(join(folder, "cache"));
  expect(files).toHaveLength(1);
  return join(folder, "cache", files[0]!);
};

describe("loadConvertedModel", () => {
  it("keeps the converted model and reads it again", async () => {
    const converted = await loadConvertedModel("palm-detector", join(folder, "cache"));
    const file = await readFile(await cachedFile());
    expect(file.subarray(0, converted.length).equals(converted)).toBe(true);
    const cached = await loadConvertedModel("palm-detector", join(folder, "cache"));
    expect(Buffer.from(cached).equals(converted)).toBe(true);
  });

  it.each([
    { name: "cut short", damage: (file: Buffer) => file.subarray(0, 1000) },
    { name: "empty", damage: () => Buffer.alloc(0) },
    { name: "changed in one bit", damage: (file: Buffer) => file.fill(file[5000]! ^ 1, 5000, 5001) },
  ])("rebuilds a file that is $name", async ({ damage }) => {
    const converted = await loadConvertedModel("palm-detector", join(folder, "cache"));
    const path = await cachedFile();
    const whole = await readFile(path);
    await writeFile(path, damage(Buffer.from(whole)));
    const rebuilt = await loadConvertedModel("palm-detector", join(folder, "cache"));
    expect(Buffer.from(rebuilt).equals(converted)).toBe(true);
    expect((await readFile(path)).equals(whole)).toBe(true);
  });

  it("does without a cache where none can be written", async () => {
    await writeFile(join(folder, "cache"), "a file where the folder should be");
    const model = await loadConvertedModel("palm-detector", join(folder, "cache"));
    expect(model.length).toBeGreaterThan(1e6);
  });

  it("lies in the user's cache folder", () => {
    const before = process.env["XDG_CACHE_HOME"];
    process.env["XDG_CACHE_HOME"] = folder;
    expect(defaultCacheFolder()).toBe(join(folder, "posegen"));
    if (before === undefined) delete process.env["XDG_CACHE_HOME"];
    else process.env["XDG_CACHE_HOME"] = before;
  });
});
