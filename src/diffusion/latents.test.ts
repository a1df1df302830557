import { afterAll, beforeAll, expect, test } from "vitest";
import { createImage, type Image } from "../media/pixels.ts";
import { type SlotMemory } from "../runtime/engine.ts";
import { Random } from "../tensor/random.ts";
import { type VideoVae } from "./latents.ts";
import { openTinyVae } from "./testing.ts";

const slots: SlotMemory = new Map();
let vae: VideoVae;

beforeAll(() => {
  vae = openTinyVae(slots);
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
