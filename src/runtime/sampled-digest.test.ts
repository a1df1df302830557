import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { float32 } from "../tensor/tensor.ts";
import { sampledDigest } from "./sampled-digest.ts";
import { openSafetensors } from "./safetensors.ts";
import { writeSafetensors } from "./safetensors-writer.ts";

const LENGTH = 40_000;
const values = Float32Array.from({ length: LENGTH }, (_, i) => i);

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "posegen-digest-"));
});
afterAll(() => rm(folder, { recursive: true }));

async function digestOf(name: string, data: Float32Array, shape = [LENGTH]): Promise<string> {
  const path = join(folder, "weights.safetensors");
  await writeSafetensors(path, { [name]: float32(data, shape), bias: float32([1, 2]) });
  return sampledDigest((await openSafetensors(path)).tensors);
}

test("names, shapes and values count, wherever the file lies; memory holds samples alone", async () => {
  const known = await digestOf("w", values);
  expect(known).toMatch(/^[0-9a-f]{64}$/);
  expect(await digestOf("w", values)).toBe(known);
  const others = [
    await digestOf("v", values),
    await digestOf("w", values, [LENGTH / 2, 2]),
    await digestOf("w", values.with(0, 1)),
    await digestOf("w", values.with(-1, 1)),
    await digestOf(
      "w",
      values.map((x) => 1.001 * x),
    ),
  ];
  expect(new Set([known, ...others]).size).toBe(6);
});

test("a file that is gone is refused", async () => {
  const entry = {
    dtype: "float32",
    shape: [1],
    file: join(folder, "none"),
    byteOffset: 0,
    byteLength: 4,
  } as const;
  await expect(sampledDigest([["w", entry]])).rejects.toThrow(/cannot open/);
});
