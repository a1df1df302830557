import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { torchNoise } from "./torch-noise.ts";

/** The golden tensors, read by hand: this room imports no reader. */
function goldenNoise(): [name: string, shape: number[], values: Float32Array][] {
  const file = readFileSync(new URL("../../fixtures/noise/outputs.safetensors", import.meta.url));
  const start = 8 + Number(file.readBigUInt64LE());
  const header: Record<string, { shape: number[]; data_offsets: [number, number] }> = JSON.parse(
    file.toString("utf8", 8, start),
  );
  return Object.entries(header).map(
    ([
      name,
      {
        shape,
        data_offsets: [begin, end],
      },
    ]) => [name, shape, new Float32Array(Uint8Array.from(file.subarray(start + begin, start + end)).buffer)],
  );
}

describe("torchNoise", () => {
  it.each(goldenNoise())("equals the golden %s", (name, shape, golden) => {
    const seed = Number(/^seed(\d+)_/.exec(name)![1]);
    const noise = torchNoise(shape, seed);
    expect(noise.shape).toEqual(shape);
    const error = Math.max(...golden.map((value, i) => Math.abs(value - noise.data[i]!)));
    expect(error).toBeLessThan(1e-6);
  });

  it("takes the low 32 bits of the seed, as PyTorch does", () => {
    expect(torchNoise([16], 2 ** 32 + 7)).toEqual(torchNoise([16], 7));
  });

  it("makes empty tensors", () => {
    expect(torchNoise([0, 4], 1).data.length).toBe(0);
  });
});
