import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { UserError } from "../tensor/errors.ts";
import { float32 } from "../tensor/tensor.ts";
import { openCheckpoint } from "./checkpoint.ts";
import { writeSafetensors } from "./safetensors-writer.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "checkpoint-"));
});
afterAll(() => rm(folder, { recursive: true }));

async function shardedModel(weightMap: Record<string, unknown>): Promise<string> {
  const model = await mkdtemp(join(folder, "model-"));
  await writeSafetensors(
    join(model, "m-1.safetensors"),
    { a: float32([1]), shared: float32([2]) },
    { part: "1" },
  );
  await writeSafetensors(join(model, "m-2.safetensors"), { b: float32([3]) });
  await writeFile(
    join(model, "m.safetensors.index.json"),
    JSON.stringify({ metadata: { total_size: 12 }, weight_map: weightMap }),
  );
  return model;
}

describe("openCheckpoint", () => {
  it("opens shards as one checkpoint", async () => {
    const model = await shardedModel({ b: "m-2.safetensors", a: "m-1.safetensors" });
    const checkpoint = await openCheckpoint(model);
    expect([...checkpoint.tensors.keys()]).toEqual(["b", "a"]);
    expect([...checkpoint.metadata]).toEqual([["part", "1"]]);
    expect((await checkpoint.readFloat32("a")).data).toEqual(Float32Array.of(1));
    expect((await checkpoint.readTensor("b")).data).toEqual(Float32Array.of(3));
    await expect(checkpoint.readTensor("shared")).rejects.toThrow(/lists no tensor "shared"/);
  });

  it("opens a single file, by name or alone in its directory", async () => {
    const model = await mkdtemp(join(folder, "single-"));
    await writeSafetensors(join(model, "x.safetensors"), { a: float32([1]) });
    expect((await openCheckpoint(model)).tensors.size).toBe(1);
    expect((await openCheckpoint(join(model, "x.safetensors"))).tensors.size).toBe(1);
    await writeSafetensors(join(model, "y.safetensors"), { a: float32([1]) });
    await expect(openCheckpoint(model)).rejects.toThrow(/0 index files .* and 2 \*\.safetensors files/);
  });

  it("refuses missing places and indexes that are not what they should be", async () => {
    await expect(openCheckpoint(join(folder, "missing"))).rejects.toThrow(UserError);
    await expect(openCheckpoint(await shardedModel({ a: 1 }))).rejects.toThrow(/not a valid shard index/);
    await expect(openCheckpoint(await shardedModel({ b: "m-1.safetensors" }))).rejects.toThrow(
      /places "b" in m-1.safetensors, which lacks it/,
    );
    await expect(openCheckpoint(await shardedModel({ b: "m-9.safetensors" }))).rejects.toThrow(
      /cannot be opened/,
    );
  });

  it("never leaves the directory", async () => {
    await writeSafetensors(join(folder, "outside.safetensors"), { a: float32([1]) });
    for (const shard of [
      "../outside.safetensors",
      "x\\..\\..\\outside.safetensors",
      join(folder, "outside.safetensors"),
    ]) {
      await expect(openCheckpoint(await shardedModel({ a: shard }))).rejects.toThrow(
        /lies outside its directory/,
      );
    }
    const linked = await shardedModel({ a: "link.safetensors" });
    await symlink(join(folder, "outside.safetensors"), join(linked, "link.safetensors"));
    await expect(openCheckpoint(linked)).rejects.toThrow(/lies outside its directory/);
  });

  it("follows the links of a Hugging Face cache", async () => {
    const snapshot = join(folder, "models--x", "snapshots", "abc");
    await mkdir(snapshot, { recursive: true });
    await mkdir(join(folder, "models--x", "blobs"));
    await writeSafetensors(join(folder, "models--x", "blobs", "123"), { a: float32([5]) });
    await symlink("../../blobs/123", join(snapshot, "m-1.safetensors"));
    await writeFile(join(snapshot, "m.safetensors.index.json"), '{"weight_map":{"a":"m-1.safetensors"}}');
    expect((await (await openCheckpoint(snapshot)).readFloat32("a")).data).toEqual(Float32Array.of(5));
  });
});
