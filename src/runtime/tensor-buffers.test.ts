import { mkdtemp, rm, truncate } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { float32, tensor } from "../tensor/tensor.ts";
import { writeSafetensors } from "./safetensors-writer.ts";
import { openSafetensors } from "./safetensors.ts";
import { TensorBuffers } from "./tensor-buffers.ts";

let folder: string;
let file: string;
const tensors = {
  "blocks.0.w": float32([1, 2, 3, 4], [2, 2]),
  "blocks.1.w": float32([5, 6, 7, 8], [2, 2]),
  "blocks.0.half": tensor("bfloat16", [3], Uint16Array.of(1, 2, 3)),
  "blocks.1.half": tensor("bfloat16", [3], Uint16Array.of(4, 5, 6)),
};
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "posegen-buffers-"));
  file = join(folder, "model.safetensors");
  await writeSafetensors(file, tensors);
});
afterEach(() => rm(folder, { recursive: true }));

const keysOf = (block: number) =>
  new Map([
    ["w", `blocks.${block}.w`],
    ["half", `blocks.${block}.half`],
  ]);

test("one range after the other passes through the same memory", async () => {
  const buffers = await TensorBuffers.open(await openSafetensors(file));
  const first = await buffers.read(keysOf(0));
  expect(first).toEqual({ w: tensors["blocks.0.w"], half: tensors["blocks.0.half"] });
  const memory = first["w"]!.data;
  const second = await buffers.read(keysOf(1));
  expect(second).toEqual({ w: tensors["blocks.1.w"], half: tensors["blocks.1.half"] });
  expect(second["w"]!.data).toBe(memory);
  await buffers.close();
});

test("missing tensors and shortened files are refused", async () => {
  const buffers = await TensorBuffers.open(await openSafetensors(file));
  await expect(buffers.read(new Map([["w", "blocks.9.w"]]))).rejects.toThrow('no tensor "blocks.9.w"');
  await truncate(file, 8);
  await expect(buffers.read(keysOf(0))).rejects.toThrow("became shorter");
  await buffers.close();
});
