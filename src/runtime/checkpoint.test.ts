import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { UserError } from "../tensor/errors.ts";
import { float32 } from "../tensor/tensor.ts";
import { openCheckpoint } from "./checkpoint.ts";
import { torchFile } from "./pytorch/testing.ts";
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
    await expect(openCheckpoint(model)).rejects.toThrow(
      /holds 2 files of tensors, not all of one checkpoint/,
    );
  });

  it("opens PyTorch files alone, and as shards with and without an index", async () => {
    const model = await mkdtemp(join(folder, "bin-"));
    const shard = (i: number): string => join(model, `model-0000${i}-of-00002.bin`);
    await writeFile(shard(1), torchFile({ a: float32([1]) }));
    expect((await openCheckpoint(shard(1))).tensors.size).toBe(1);
    await writeFile(shard(2), torchFile({ b: float32([2]) }, "legacy"));
    const unlisted = await openCheckpoint(model);
    expect((await unlisted.readFloat32("b")).data).toEqual(Float32Array.of(2));
    await expect(unlisted.readTensor("c")).rejects.toThrow(/lists no tensor "c"/);

    const index = join(model, "model.bin.index.json");
    await writeFile(index, '{"weight_map":{"b":"model-00002-of-00002.bin"}}');
    for (const path of [model, index])
      expect([...(await openCheckpoint(path)).tensors.keys()]).toEqual(["b"]);

    await rm(index);
    await writeFile(shard(2), torchFile({ a: float32([2]) }));
    await expect(openCheckpoint(model)).rejects.toThrow(/both hold the tensor "a"/);
    await rm(shard(1));
    await writeFile(join(model, "model-00003-of-00004.bin"), torchFile({ a: float32([2]) }));
    await expect(openCheckpoint(model)).rejects.toThrow(/not all of one checkpoint/);
    await rm(shard(2));
    await writeFile(join(model, "model-00001-of-00004.bin"), torchFile({ a: float32([2]) }));
    await expect(openCheckpoint(model)).rejects.toThrow(/lacks model-00002-of-00004.bin, one of 4 shards/);

    await writeSafetensors(join(model, "x.safetensors"), { s: float32([1]) });
    expect([...(await openCheckpoint(model)).tensors.keys()]).toEqual(["s"]);
    await expect(openCheckpoint(await mkdtemp(join(folder, "empty-")))).rejects.toThrow(/no file of tensors/);
  });

  const badIndexes: [what: string, index: string, message: RegExp][] = [
    ["no JSON", "{", /not a valid shard index/],
    ["a list", "[]", /expected object/],
    ["no map", "{}", /weight_map: expected names/],
    ["a list of files", '{"weight_map":["m-1.safetensors"]}', /weight_map: expected names/],
    ["a file that is no text", '{"weight_map":{"a":1}}', /weight_map: expected names/],
    ["a tensor twice", '{"weight_map":{"a":"m-1.safetensors","a":"m-2.safetensors"}}', /occurs twice/],
    ["deep nesting", "[".repeat(1e5), /deeper than 8 levels/],
    ["values without end", `{"weight_map":[${"0,".repeat(1 << 22)}0]}`, /more than 4194304 values/],
    ["line breaks in a message", '{"weight_map":\n\n?}', /not a valid shard index/],
  ];
  it.each(badIndexes)("refuses an index with %s, in one line", async (_, index, message) => {
    const model = await shardedModel({});
    await writeFile(join(model, "m.safetensors.index.json"), index);
    await expect(openCheckpoint(model)).rejects.toThrow(message);
    await expect(openCheckpoint(model)).rejects.toThrow(/^.+$/);
  });

  it("refuses missing places and indexes that are not what they should be", async () => {
    await expect(openCheckpoint(join(folder, "missing"))).rejects.toThrow(UserError);
    await expect(openCheckpoint(await shardedModel({ a: 1 }))).rejects.toThrow(/not a valid shard index/);
    await expect(openCheckpoint(await shardedModel({ b: "m-1.safetensors" }))).rejects.toThrow(
      /places "b" in "m-1.safetensors", which lacks it/,
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
    await writeFile(join(folder, "models--x", "blobs", "456"), torchFile({ b: float32([6]) }));
    await symlink("../../blobs/123", join(snapshot, "m-1.safetensors"));
    await symlink("../../blobs/456", join(snapshot, "m-2.bin"));
    await writeFile(join(snapshot, "m.safetensors.index.json"), '{"weight_map":{"a":"m-1.safetensors"}}');
    expect((await (await openCheckpoint(snapshot)).readFloat32("a")).data).toEqual(Float32Array.of(5));
    await writeFile(join(snapshot, "m.bin.index.json"), '{"weight_map":{"b":"m-2.bin"}}');
    const pickled = await openCheckpoint(join(snapshot, "m.bin.index.json"));
    expect((await pickled.readFloat32("b")).data).toEqual(Float32Array.of(6));
    await mkdir(join(snapshot, "part"));
    await symlink("../../../blobs/123", join(snapshot, "part", "m-1.safetensors"));
    await writeFile(
      join(snapshot, "part", "m.safetensors.index.json"),
      '{"weight_map":{"a":"m-1.safetensors"}}',
    );
    const nested = await openCheckpoint(join(snapshot, "part"));
    expect((await nested.readFloat32("a")).data).toEqual(Float32Array.of(5));
  });
});
