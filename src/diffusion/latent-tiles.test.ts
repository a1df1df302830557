import { expect, test } from "vitest";
import { TileBlend, planEqualTiles, planTiles, tileWeights } from "./latent-tiles.ts";
import { UserError } from "../tensor/errors.ts";

const INSIDE = { top: false, bottom: false, left: false, right: false };

test("tiles cover everything, and none starts behind one that reaches the border", () => {
  const { tiles, border } = planTiles(8, 12, { size: [5, 6], stride: [3, 4] });
  expect(border).toEqual([2, 2]);
  expect(tiles.map(({ top, bottom, left, right }) => [top, bottom, left, right])).toEqual([
    [0, 5, 0, 6],
    [0, 5, 4, 10],
    [0, 5, 8, 12],
    [3, 8, 0, 6],
    [3, 8, 4, 10],
    [3, 8, 8, 12],
  ]);
  expect(planTiles(4, 5, { size: [8, 8], stride: [4, 4] }).tiles).toEqual([
    { top: 0, bottom: 4, left: 0, right: 5 },
  ]);
});

test("tiles that would leave gaps are refused", () => {
  expect(() => planTiles(9, 9, { size: [3, 3], stride: [3, 4] })).toThrow(UserError);
});

test("equal tiles are as many as published ones, overlap as much and cover everything", () => {
  const tiling = { size: [34, 34], stride: [18, 16] } as const;
  for (const [height, width] of [
    [90, 160],
    [205, 97],
    [35, 40],
    [34, 20],
  ] as const) {
    const { tiles, border } = planEqualTiles(height, width, tiling);
    expect(tiles).toHaveLength(planTiles(height, width, tiling).tiles.length);
    const [rows, columns] = [Math.min(34, height), Math.min(34, width)];
    for (const { top, bottom, left, right } of tiles) {
      expect([bottom - top, right - left]).toEqual([rows, columns]);
    }
    expect(tiles[0]).toMatchObject({ top: 0, left: 0 });
    expect(tiles.at(-1)).toMatchObject({ bottom: height, right: width });
    expect(border[0]).toBeGreaterThanOrEqual(16);
    expect(border[1]).toBeGreaterThanOrEqual(18);
  }
});

test("weights rise from the inner borders and are flat at the picture's edge", () => {
  const weights = tileWeights(3, 4, { ...INSIDE, top: true, right: true }, [2, 2]);
  expect([...weights]).toEqual([0.5, 1, 1, 1, 0.5, 1, 1, 1, 0.5, 0.5, 0.5, 0.5]);
});

test("equal tiles blend to the picture they were cut from", () => {
  const [height, width] = [7, 9];
  const picture = Float32Array.from({ length: 2 * height * width }, (_, i) => Math.sin(i));
  const blend = new TileBlend(2, height, width);
  for (const tile of planTiles(height, width, { size: [4, 5], stride: [2, 3] }).tiles) {
    const [h, w] = [tile.bottom - tile.top, tile.right - tile.left];
    const part = Float32Array.from({ length: 2 * h * w }, (_, i) => {
      const [plane, y, x] = [Math.floor(i / (h * w)), Math.floor(i / w) % h, i % w];
      return picture[(plane * height + tile.top + y) * width + tile.left + x]!;
    });
    blend.add(tile, part, tileWeights(h, w, INSIDE, [2, 2]));
  }
  blend.finish().forEach((x, i) => expect(x).toBeCloseTo(picture[i]!, 5));
});
