import { afterAll, beforeAll, expect, test } from "vitest";
import { createImage, type Image } from "../media/pixels.ts";
import { TINY_WAN_VAE } from "../models/wan-vae/config.ts";
import { type Graph, serialize } from "../graph/index.ts";
import { Engine, type SlotMemory } from "../runtime/engine.ts";
import { Random } from "../tensor/random.ts";
import { type Tensor, float32, sizeOf } from "../tensor/tensor.ts";
import { VideoVae, concatFrames } from "./latents.ts";

const slots: SlotMemory = new Map();
let vae: VideoVae;

/** Weights that depend on their key alone, so that all graphs of the VAE share them. */
function weights(graph: Graph) {
  return Object.fromEntries(
    [...graph.params.values()].map(({ name, shape }) => {
      const scale = shape.length > 1 ? 1 / Math.sqrt(sizeOf(shape.slice(1))) : 1;
      return [
        name,
        float32(
          new Random(name).normals(sizeOf(shape)).map((x) => scale * x),
          shape,
        ),
      ];
    }),
  );
}

beforeAll(() => {
  vae = new VideoVae(TINY_WAN_VAE, (graph) =>
    Engine.create(serialize(graph), { inputs: weights(graph) }, slots),
  );
});
afterAll(() => vae.release());

function noise(seed: number, numFrames: number): Image[] {
  const random = new Random(seed);
  return Array.from({ length: numFrames }, () => {
    const image = createImage(16, 16);
    for (let i = 0; i < image.data.length; i++) image.data[i] = random.integer(256);
    return image;
  });
}

test("a second video does not remember the first, and takes no further memory", async () => {
  const alone = await vae.encode(noise(1, 9));
  const numSlots = slots.size;
  await vae.encode(noise(2, 13));
  expect(await vae.encode(noise(1, 9))).toEqual(alone);
  expect(slots.size).toBe(numSlots);
});

test("videos that are encoded at the same time keep apart", async () => {
  const one = await vae.encode(noise(1, 9));
  const two = await vae.encode(noise(2, 9));
  expect(await Promise.all([vae.encode(noise(1, 9)), vae.encode(noise(2, 9))])).toEqual([one, two]);
});

test("decoding gives the frames that the latents stand for", async () => {
  const latents = await vae.encode(noise(3, 5));
  expect(latents.shape).toEqual([1, 16, 2, 2, 2]);
  const frames: Image[] = [];
  for await (const frame of vae.decode(latents)) frames.push(frame);
  expect(frames.map(({ width, height }) => [width, height])).toEqual(
    Array.from({ length: 5 }, () => [16, 16]),
  );
});

test("wrong numbers and sizes of frames are refused", async () => {
  await expect(vae.encode(noise(1, 4))).rejects.toThrow("4 frames");
  await expect(vae.encode([createImage(20, 16)])).rejects.toThrow("multiples of 8");
});

test("one tile that covers the whole frame changes nothing", async () => {
  const frames = noise(4, 5);
  const tiling = { size: [4, 4], stride: [3, 3] } as const;
  const latents = await vae.encode(frames);
  expect((await vae.encodeTiled(frames, tiling)).data).toEqual(latents.data);
  const chunks: Tensor[] = [];
  for await (const chunk of vae.decodeChunks(latents)) chunks.push(chunk);
  expect((await vae.decodeTiled(latents, tiling)).data).toEqual(concatFrames(chunks).data);
});
