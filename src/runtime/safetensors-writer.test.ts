import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { UserError } from "../tensor/errors.ts";
import { float32, int64, tensor } from "../tensor/tensor.ts";
import { writeFileAtomically } from "../files/atomic-file.ts";
import { writeSafetensors } from "./safetensors-writer.ts";
import { openSafetensors } from "./safetensors.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "safetensors-writer-"));
});
afterAll(() => rm(folder, { recursive: true }));

describe("writeSafetensors", () => {
  const tensors = {
    flags: tensor("bool", [3], Uint8Array.of(1, 0, 1)),
    "b.weight": float32([1, 2, 3, 4], [2, 2]),
    "10": int64([7]),
    "a.bias": tensor("bfloat16", [1], Uint16Array.of(0x3f80)),
    none: float32([], [0]),
  };

  it("writes what the reader reads back, each tensor aligned to its elements", async () => {
    const path = join(folder, "all.safetensors");
    await writeSafetensors(path, tensors, { step: "12", format: "pt" });
    const file = await openSafetensors(path);
    expect([...file.metadata]).toEqual([
      ["format", "pt"],
      ["step", "12"],
    ]);
    expect([...file.tensors.keys()]).toEqual(["10", "b.weight", "none", "a.bias", "flags"]);
    for (const [name, { byteOffset }] of file.tensors) {
      const written = tensors[name as keyof typeof tensors];
      expect(await file.readTensor(name)).toEqual(written);
      expect(byteOffset % written.data.BYTES_PER_ELEMENT).toBe(0);
    }
  });

  it("gives the same bytes whatever the order of its arguments", async () => {
    const [one, two] = [join(folder, "one"), join(folder, "two")];
    await writeSafetensors(one, tensors, { a: "1", b: "2" });
    await writeSafetensors(two, new Map(Object.entries(tensors).reverse()), { b: "2", a: "1" });
    expect(await readFile(one)).toEqual(await readFile(two));
    expect((await readFile(one)).readBigUInt64LE() % 8n).toBe(0n);
  });

  it("writes only a view's own part of a larger buffer", async () => {
    const path = join(folder, "view");
    await writeSafetensors(path, { x: float32(Float32Array.of(1, 2, 3).subarray(1, 2)) });
    expect((await (await openSafetensors(path)).readFloat32("x")).data).toEqual(Float32Array.of(2));
  });

  it("refuses the reserved name and impossible places", async () => {
    await expect(writeSafetensors(join(folder, "x"), { __metadata__: float32([1]) })).rejects.toThrow(
      UserError,
    );
    await expect(writeSafetensors(join(folder, "no", "x"), tensors)).rejects.toThrow(/cannot write .*ENOENT/);
  });
});

describe("writeFileAtomically", () => {
  it("keeps the old file and leaves nothing behind when writing fails", async () => {
    const place = await mkdtemp(join(folder, "atomic-"));
    const path = join(place, "file");
    await writeFile(path, "old");
    const failing = writeFileAtomically(path, async (handle) => {
      await handle.writeFile("half");
      throw new Error("stopped");
    });
    await expect(failing).rejects.toThrow("stopped");
    expect(await readdir(place)).toEqual(["file"]);
    expect(await readFile(path, "utf8")).toBe("old");
  });

  it("says when the disk is full", async () => {
    const full = writeFileAtomically(join(folder, "full"), async () => {
      throw Object.assign(new Error("no space left on device"), { code: "ENOSPC" });
    });
    await expect(full).rejects.toThrow(UserError);
    await expect(full).rejects.toThrow(/the disk is full/);
  });
});
