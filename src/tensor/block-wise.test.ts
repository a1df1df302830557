import { describe, expect, it } from "vitest";
import { type BlockBits, BLOCK_SIZE, fromBlocks, toBlocks } from "./block-wise.ts";
import { Random } from "./random.ts";

const weights = new Random("blocks").normals(64 * BLOCK_SIZE);

describe.each<[BlockBits, error: number]>([
  [8, 0.006],
  [4, 0.1],
])("blocks of %i bits", (bits, limit) => {
  const blocks = toBlocks(weights, bits);
  const back = fromBlocks(blocks, bits);

  it("are off by half a step at most where nothing is cut off", () => {
    const zero = 2 ** (bits - 1);
    weights.forEach((weight, i) => {
      const step = blocks.scale.data[Math.floor(i / BLOCK_SIZE)]!;
      const isCutOff = weight / step > zero - 1;
      if (!isCutOff) expect(Math.abs(back[i]! - weight)).toBeLessThanOrEqual(0.501 * Math.abs(step));
    });
    const squares = (x: Float32Array): number => x.reduce((sum, y) => sum + y * y, 0);
    expect(Math.sqrt(squares(back.map((x, i) => x - weights[i]!)) / squares(weights))).toBeLessThan(limit);
  });

  it("keep zeros", () => {
    expect(fromBlocks(toBlocks(new Float32Array(BLOCK_SIZE), bits), bits)).toEqual(
      new Float32Array(BLOCK_SIZE),
    );
  });

  it("stay as they are when they are rounded again", () => {
    expect(toBlocks(back, bits)).toEqual(blocks);
  });
});
