import { afterAll, describe, expect, test } from "vitest";
import { serialize } from "../graph/index.ts";
import { type Image, createImage } from "../media/pixels.ts";
import { TINY_WAN_VAE } from "../models/wan-vae/config.ts";
import { Engine } from "../runtime/engine.ts";
import { UserError } from "../tensor/errors.ts";
import { Random } from "../tensor/random.ts";
import { float32, sizeOf } from "../tensor/tensor.ts";
import { encodeConditions, keepMask, pasteKeptFrames } from "./conditions.ts";
import { VideoVae } from "./latents.ts";

/** Grey frames, each of its own brightness. */
const video = (numFrames: number, first = 0): Image[] =>
  Array.from({ length: numFrames }, (_, t) => createImage(16, 16, [first + t, first + t, first + t]));

/** Mask values of every frame: all channels of latent frame 0 are frame 0. */
function frameValues(numFrames: number, head: number, tail: number): number[] {
  const { data, shape } = keepMask(numFrames, head, tail, 1, 1);
  const latentFrames = shape[2]!;
  return Array.from({ length: numFrames }, (_, t) =>
    t === 0 ? data[0]! : data[((t - 1) % 4) * latentFrames + 1 + Math.floor((t - 1) / 4)]!,
  );
}

describe("keepMask", () => {
  test("has one channel per frame of a latent frame", () => {
    expect(keepMask(9, 1, 1, 2, 3).shape).toEqual([1, 4, 3, 2, 3]);
    expect(frameValues(9, 3, 2)).toEqual([1, 1, 1, 0, 0, 0, 0, 1, 1]);
    expect(frameValues(9, 0, 0)).toEqual(new Array(9).fill(0));
    expect(frameValues(5, 0, 5)).toEqual(new Array(5).fill(1));
  });

  test("marks the first latent frame as a whole", () => {
    const { data } = keepMask(5, 1, 0, 1, 1);
    expect([...data]).toEqual([1, 0, 1, 0, 1, 0, 1, 0]);
  });

  test.each([
    [8, 0, 0],
    [0, 0, 0],
    [9, 6, 4],
  ])("refuses %i frames with %i and %i kept", (numFrames, head, tail) => {
    expect(() => keepMask(numFrames, head, tail, 1, 1)).toThrow(UserError);
  });
});

test("pasting replaces the ends and leaves the video alone", () => {
  const given = video(5);
  const [head, tail] = [video(2, 100), video(1, 200)];
  const pasted = pasteKeptFrames(given, { head, tail });
  expect(pasted.map(({ data }) => data[0])).toEqual([100, 101, 2, 3, 200]);
  expect(given.map(({ data }) => data[0])).toEqual([0, 1, 2, 3, 4]);
  expect(() => pasteKeptFrames(given, { head: video(3), tail: video(3) })).toThrow(UserError);
});

describe("encodeConditions", () => {
  const slots = new Map();
  const vae = new VideoVae(TINY_WAN_VAE, (graph, name) => {
    const inputs = [...graph.params.values()].map(({ name: key, shape }) => {
      const deviation = 1 / Math.sqrt(sizeOf(shape.slice(1)));
      const values = new Random(1).fork(key).normals(sizeOf(shape));
      return [
        key,
        float32(
          values.map((x) => x * deviation),
          shape,
        ),
      ] as const;
    });
    return Engine.create(serialize(graph), { name, inputs: Object.fromEntries(inputs) }, slots);
  });
  afterAll(() => vae.release());

  test("joins mask and pose, and pastes kept frames over both videos", async () => {
    const kept = { head: video(1, 100), tail: video(4, 200) };
    const driving = { skeleton: video(5, 30), handNormals: video(5, 60) };
    const { cond, hand } = await encodeConditions(vae, driving, kept);
    // All five frames are kept, so nothing is left of what drives.
    const pasted = await vae.encode([...kept.head, ...kept.tail]);
    expect(cond.shape).toEqual([1, 20, 2, 2, 2]);
    expect(cond.data.subarray(0, 32)).toEqual(new Float32Array(32).fill(1));
    expect(cond.data.subarray(32)).toEqual(pasted.data);
    expect(hand).toEqual(pasted);
  });

  test("keeps nothing by default", async () => {
    const driving = { skeleton: video(1, 30), handNormals: video(1, 60) };
    const { cond, hand } = await encodeConditions(vae, driving);
    expect(cond.data.subarray(0, 16)).toEqual(new Float32Array(16));
    expect(cond.data.subarray(16)).toEqual((await vae.encode(driving.skeleton)).data);
    expect(hand).toEqual(await vae.encode(driving.handNormals));
  });

  test.each([
    ["a number of frames that is not 1 + 4k", 4, 4],
    ["videos of different lengths", 5, 9],
  ])("refuses %s", async (_, numSkeletons, numNormals) => {
    const driving = { skeleton: video(numSkeletons), handNormals: video(numNormals) };
    await expect(encodeConditions(vae, driving)).rejects.toThrow(UserError);
  });
});
