import { expect, test } from "vitest";
import { type Image, createImage } from "../media/pixels.ts";
import { type SlotMemory } from "../runtime/engine.ts";
import { type Tensor } from "../tensor/tensor.ts";
import { type Tile, type Tiling, planEqualTiles, planTiles } from "./latent-tiles.ts";
import { type VideoVae, concatFrames } from "./latents.ts";
import { openTinyVae } from "./testing.ts";
import { TiledVae } from "./tiled-vae.ts";

/** A pattern that moves. */
function pattern(width: number, height: number, numFrames: number): Image[] {
  return Array.from({ length: numFrames }, (_, t) => {
    const image = createImage(width, height);
    for (let i = 0; i < image.data.length; i++) {
      const [channel, x, y] = [i % 3, Math.floor(i / 3) % width, Math.floor(i / 3 / width)];
      image.data[i] = 128 + 100 * Math.sin(x / (9 + channel) + t) * Math.cos(y / 13);
    }
    return image;
  });
}

async function decodeWhole(vae: VideoVae, latents: Tensor<"float32">): Promise<Tensor<"float32">> {
  const chunks: Tensor[] = [];
  for await (const chunk of vae.decodeChunks(latents)) chunks.push(chunk);
  return concatFrames(chunks);
}

/** Root of the mean square of the differences where a tile covers a picture alone, as a share of the values' own. */
function errorInside(
  actual: Tensor<"float32">,
  expected: Tensor<"float32">,
  tiles: readonly Tile[],
  pixelsPerLatent: number,
): number {
  const [, channels, numFrames, height, width] = expected.shape as [number, number, number, number, number];
  const covers = (tile: Tile, y: number, x: number): boolean =>
    y >= tile.top && y < tile.bottom && x >= tile.left && x < tile.right;
  let [error, power] = [0, 0];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const [row, column] = [y / pixelsPerLatent, x / pixelsPerLatent];
      if (tiles.filter((tile) => covers(tile, row, column)).length > 1) continue;
      for (let plane = 0; plane < channels * numFrames; plane++) {
        const i = (plane * height + y) * width + x;
        error += (actual.data[i]! - expected.data[i]!) ** 2;
        power += expected.data[i]! ** 2;
      }
    }
  }
  return Math.sqrt(error / power);
}

test("one tile that covers the whole frame changes nothing", async () => {
  const vae = openTinyVae(new Map());
  const frames = pattern(16, 16, 5);
  const tiling: Tiling = { size: [4, 4], stride: [3, 3] };
  const tiled = new TiledVae(vae, (height, width) => planTiles(height, width, tiling));
  const latents = await vae.encode(frames);
  expect((await tiled.encode(frames)).data).toEqual(latents.data);
  expect((await tiled.decodeVideo(latents)).data).toEqual((await decodeWhole(vae, latents)).data);
  await vae.release();
});

/** What the layers remember from chunk to chunk, in bytes. */
function rememberedBytes(slots: SlotMemory): number {
  return [...slots.values()].reduce((sum, { data }) => sum + (data as Float32Array).byteLength, 0);
}

test("inside tiles the result is nearly that of whole frames, in less memory", async () => {
  const [height, width] = [40, 36];
  const frames = pattern(8 * width, 8 * height, 5);
  const { tiles } = planEqualTiles(height, width);
  expect(tiles).toHaveLength(4);

  const [slots, tileSlots]: [SlotMemory, SlotMemory] = [new Map(), new Map()];
  const [vae, tileVae] = [openTinyVae(slots), openTinyVae(tileSlots)];
  const tiled = new TiledVae(tileVae);
  const latents = await vae.encode(frames);
  const tiledLatents = await tiled.encode(frames);
  const video = await decodeWhole(vae, latents);
  const tiledVideo = await tiled.decodeVideo(latents);
  await Promise.all([vae.release(), tileVae.release()]);
  // Attention sees the whole frame, or the tile: that is what differs.
  expect(errorInside(tiledLatents, latents, tiles, 1)).toBeLessThan(1e-3);
  expect(errorInside(tiledVideo, video, tiles, 8)).toBeLessThan(1e-3);
  expect(tiledVideo.data).not.toEqual(video.data);
  const { top, bottom, left, right } = tiles[0]!;
  const share = ((bottom - top) * (right - left)) / (height * width);
  expect(rememberedBytes(tileSlots) / rememberedBytes(slots)).toBeCloseTo(share, 2);
});
