import { describe, expect, test } from "vitest";
import { cast, mean, mul, serialize, verify } from "../../graph/index.ts";
import { sampleTensor } from "../../graph/testing.ts";
import { Engine } from "../../runtime/engine.ts";
import { UserError } from "../../tensor/errors.ts";
import { type Tensor, sizeOf } from "../../tensor/tensor.ts";
import { largestError, slopes } from "../testing.ts";
import { MINI_WAN_VAE, TINY_WAN_VAE, WAN_VAE, numLatentFrames } from "./config.ts";
import { FeatureCache } from "./feature-cache.ts";
import { type VaeChunk, buildVaeDecoder, buildVaeEncoder, decodeFeatures, encodeMoments } from "./model.ts";

type Build = typeof buildVaeEncoder;
type Values = Record<string, Tensor>;

const sample = (shape: readonly number[], seed: number): Tensor<"float32"> =>
  sampleTensor(shape, seed, { dtype: "float32" }) as Tensor<"float32">;

/** A chunk of 2 x 3 latent pixels. */
const chunkOf = (position: VaeChunk["position"], numLatent: number): VaeChunk => ({
  position,
  numLatentFrames: numLatent,
  latentHeight: 2,
  latentWidth: 3,
});

/** Weights that depend on the key alone: the graphs of all chunks get the same. */
function weightOf(key: string, shape: readonly number[]): Tensor {
  const seed = [...key].reduce((hash, char) => (hash * 31 + char.charCodeAt(0)) % 100_003, 7);
  const value = sample(shape, seed);
  const scale = key.endsWith("gamma") ? 1 : 1 / Math.sqrt(sizeOf(shape.slice(1)));
  return { ...value, data: value.data.map((x) => x * scale) };
}

async function run(build: Build, chunk: VaeChunk, feeds: Values): Promise<Values> {
  const graph = build(TINY_WAN_VAE, chunk);
  verify(graph);
  const engine = await Engine.create(serialize(graph));
  const weights = [...graph.params].map(([key, { shape }]) => [key, weightOf(key, shape)] as const);
  const results = await engine.run({ ...Object.fromEntries(weights), ...feeds });
  await engine.release();
  return results;
}

/** Frames start … < end of [1, C, T, H, W]. */
function cut({ shape, data }: Tensor, start: number, end: number): Tensor {
  const [, channels, numFrames, h, w] = shape as [number, number, number, number, number];
  const area = h * w;
  const planes = Array.from({ length: channels }, (_, c) =>
    Array.from((data as Float32Array).subarray((c * numFrames + start) * area, (c * numFrames + end) * area)),
  );
  return {
    dtype: "float32",
    shape: [1, channels, end - start, h, w],
    data: Float32Array.from(planes.flat()),
  };
}

/** Runs a start chunk and next chunks over a whole video; returns the frames each of them made. */
async function stream(
  build: Build,
  whole: Tensor,
  sizes: readonly number[],
  io: "video" | "latents",
): Promise<Tensor[]> {
  const parts: Tensor[] = [];
  let past: Values = {};
  let from = 0;
  for (const [i, size] of sizes.entries()) {
    const perLatent = io === "video" && i > 0 ? size / 4 : io === "video" ? 1 : size;
    const feeds = { [io]: cut(whole, from, from + size), ...past };
    const results = await run(build, chunkOf(i === 0 ? "start" : "next", perLatent), feeds);
    past = Object.fromEntries(
      Object.entries(results).flatMap(([name, value]) =>
        name.startsWith("newCache:") ? [[name.replace("newCache:", "cache:"), value]] : [],
      ),
    );
    parts.push(results[io === "video" ? "latents" : "video"]!);
    from += size;
  }
  return parts;
}

function expectClose(actual: Tensor, expected: Tensor): void {
  expect(actual.shape).toEqual(expected.shape);
  const largest = Math.max(...Array.from(expected.data as Float32Array, Math.abs));
  actual.data.forEach((x, i) =>
    expect(Math.abs(Number(x) - Number(expected.data[i]))).toBeLessThan(1e-5 * largest),
  );
}

describe("chunks", () => {
  test.each([1, 5, 9, 17, 33])("%i frames are encoded and decoded as a whole clip is", async (numFrames) => {
    const numLatent = numLatentFrames(TINY_WAN_VAE, numFrames);
    const video = sample([1, 3, numFrames, 16, 24], 3);
    const { latents } = await run(buildVaeEncoder, chunkOf("start", numLatent), { video });
    const next = new Array<number>(numLatent - 1).fill(4);
    const encoded = await stream(buildVaeEncoder, video, [1, ...next], "video");
    encoded.forEach((part, t) => expectClose(part, cut(latents!, t, t + 1)));

    const { video: decoded } = await run(buildVaeDecoder, chunkOf("start", numLatent), { latents: latents! });
    const streamed = await stream(buildVaeDecoder, latents!, new Array<number>(numLatent).fill(1), "latents");
    streamed.forEach((part, t) =>
      expectClose(part, t === 0 ? cut(decoded!, 0, 1) : cut(decoded!, 4 * t - 3, 4 * t + 1)),
    );
  });

  test("may hold several latent frames", async () => {
    const latents = sample([1, 16, 6, 2, 3], 4);
    const { video } = await run(buildVaeDecoder, chunkOf("start", 6), { latents });
    const parts = await stream(buildVaeDecoder, latents, [3, 1, 2], "latents");
    [0, 9, 13, 21]
      .slice(0, 3)
      .forEach((start, i, starts) => expectClose(parts[i]!, cut(video!, start, starts[i + 1] ?? 21)));
  });
});

test("a frame changes no latents before it", async () => {
  const video = sample([1, 3, 9, 16, 24], 5);
  const changed = { ...video, data: video.data.slice() };
  const area = 16 * 24;
  for (let c = 0; c < 3; c++) changed.data.fill(0.7, (c * 9 + 5) * area, (c * 9 + 9) * area);
  const chunk = chunkOf("start", 3);
  const before = (await run(buildVaeEncoder, chunk, { video }))["latents"]!;
  const after = (await run(buildVaeEncoder, chunk, { video: changed }))["latents"]!;
  expect(cut(after, 0, 2).data).toEqual(cut(before, 0, 2).data);
  expect(cut(after, 2, 3).data).not.toEqual(cut(before, 2, 3).data);
});

test("the gradient of the autoencoder predicts its slopes", async () => {
  const found = await slopes({
    dtype: "float32",
    loss: (graph) => {
      const video = graph.input("video", [1, 3, 5, 16, 16]);
      const { mu, logVariance } = encodeMoments(TINY_WAN_VAE, new FeatureCache(graph, "start"), video);
      const decoded = decodeFeatures(TINY_WAN_VAE, new FeatureCache(graph, "start"), mul(mu, logVariance));
      // Convolution has no double-precision kernel; the sum of the loss at least rounds nothing away.
      const wide = cast(decoded, "float64");
      return mean(mul(wide, wide));
    },
  });
  expect(found.length).toBeGreaterThan(100);
  expect(largestError(found, 1e-4).error).toBeLessThan(0.01);
});

describe("configuration", () => {
  test("counts latent frames and refuses other lengths", () => {
    expect([1, 5, 81].map((n) => numLatentFrames(WAN_VAE, n))).toEqual([1, 2, 21]);
    expect(() => numLatentFrames(WAN_VAE, 8)).toThrow(UserError);
    expect(() => numLatentFrames(WAN_VAE, 8)).toThrow(/8 frames.*1, 5, 9/);
  });

  test("the embedded preset is small and has the published latents", () => {
    const graphs = [buildVaeEncoder, buildVaeDecoder].map((build) =>
      build(MINI_WAN_VAE, chunkOf("start", 2)),
    );
    const [encoder, decoder] = graphs as [(typeof graphs)[0], (typeof graphs)[0]];
    expect(encoder.outputs.get("latents")!.shape).toEqual([1, 16, 2, 2, 3]);
    expect(decoder.outputs.get("video")!.shape).toEqual([1, 3, 5, 16, 24]);
    const numWeights = graphs
      .flatMap((g) => [...g.params.values()])
      .reduce((sum, p) => sum + sizeOf(p.shape), 0);
    expect(numWeights).toBeLessThan(3e6);
  });
});
