import { mkdtemp, rm, truncate } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { float32, tensor, type Tensor } from "../tensor/tensor.ts";
import { mapCheckpoint } from "./mapped-checkpoint.ts";
import { openSafetensors } from "./safetensors.ts";
import { writeSafetensors } from "./safetensors-writer.ts";
import { readPieces } from "./tensor-pieces.ts";

let folder: string;
let path: string;
/** A little more than one piece. */
const LENGTH = 3 * ((1 << 23) / 2 + 5);
const long = tensor(
  "bfloat16",
  [3, LENGTH / 3],
  new Uint16Array(LENGTH).map((_, i) => i % 65_521),
);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "tensor-pieces-"));
  path = join(folder, "weights.safetensors");
  await writeSafetensors(path, { long, short: float32([1, 2, 3]), empty: float32([], [0, 4]) });
});
afterAll(() => rm(folder, { recursive: true }));

async function collect(pieces: AsyncIterable<Tensor>): Promise<{ lengths: number[]; bytes: Buffer }> {
  const parts: Buffer[] = [];
  for await (const { data } of pieces) {
    // The next piece overwrites this one.
    parts.push(Buffer.from(new Uint8Array(data.buffer, data.byteOffset, data.byteLength)));
  }
  return { lengths: parts.map(({ length }) => length), bytes: Buffer.concat(parts) };
}

test("a long tensor comes in several pieces, a short one in one, an empty one in none", async () => {
  const checkpoint = await openSafetensors(path);
  const { lengths, bytes } = await collect(readPieces(checkpoint, "long"));
  expect(lengths).toEqual([1 << 24, 2 * LENGTH - (1 << 24)]);
  expect(bytes.equals(Buffer.from(long.data.buffer))).toBe(true);
  expect((await collect(readPieces(checkpoint, "short"))).lengths).toEqual([12]);
  expect((await collect(readPieces(checkpoint, "empty"))).lengths).toEqual([]);
});

test("tensors that are joined come one behind the other", async () => {
  const sources = new Map([["twice", { names: ["short", "short"] }]]);
  const { bytes } = await collect(readPieces(mapCheckpoint(await openSafetensors(path), sources), "twice"));
  expect(new Float32Array(new Uint8Array(bytes).buffer)).toEqual(Float32Array.of(1, 2, 3, 1, 2, 3));
});

test("names that are missing and files that have become shorter are refused", async () => {
  const checkpoint = await openSafetensors(path);
  await expect(collect(readPieces(checkpoint, "none"))).rejects.toThrow(/no tensor "none"/);
  await truncate(path, 1 << 20);
  await expect(collect(readPieces(checkpoint, "long"))).rejects.toThrow(/became shorter/);
});
