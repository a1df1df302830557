/** The VAE against the published one: whole clips and streamed chunks, pictures, tiles, and what the encoder makes. */
import { join } from "node:path";
import { z } from "zod";
import { concatFrames, toVideo, type VideoVae } from "../../diffusion/latents.ts";
import { type Tiling, planTiles, tileWeights } from "../../diffusion/latent-tiles.ts";
import { TiledVae } from "../../diffusion/tiled-vae.ts";
import { Graph, type Value, concat } from "../../graph/index.ts";
import { type WanVaeConfig } from "../../models/wan-vae/config.ts";
import { FeatureCache } from "../../models/wan-vae/feature-cache.ts";
import { decodeFeatures, denormalise, encodeMoments, normalise } from "../../models/wan-vae/model.ts";
import { type Checkpoint, openSafetensors } from "../../runtime/safetensors.ts";
import { type Tensor } from "../../tensor/tensor.ts";
import { compareNamedValues } from "./named-values.ts";
import { type ParityCheck, type ParityRow, compare, readConfig, unknownRow } from "./rows.ts";
import { framesOfPlanes, openVae, vaeConfigSchema, wanVaeConfig } from "./vae-fixture.ts";

const LATENT_TOLERANCE = 5e-5;
const PIXEL_TOLERANCE = 1e-4;

const pair = z.tuple([z.number().int().positive(), z.number().int().positive()]);

const configSchema = z.object({
  model_config: vaeConfigSchema,
  latent_mean: z.array(z.number()),
  latent_std: z.array(z.number()),
  cases: z.record(z.string(), z.object({ tile_size: pair.optional(), tile_stride: pair.optional() })),
});

export const vaeCheck: ParityCheck = {
  folder: "vae",
  async run(dir) {
    const { model_config, latent_mean, latent_std, cases } = await readConfig(dir, configSchema);
    const config = wanVaeConfig(model_config, { latentMean: latent_mean, latentStd: latent_std });
    const weights = await openSafetensors(join(dir, "weights.safetensors"));
    const vae = openVae(config, weights);
    const rows: ParityRow[] = [];
    for (const [name, { tile_size, tile_stride }] of Object.entries(cases)) {
      const fixture = await readCase(dir, name);
      if (tile_size && tile_stride) {
        rows.push(...(await checkTiled(vae, fixture, { size: tile_size, stride: tile_stride })));
      } else {
        rows.push(...(await checkStreamed(vae, fixture)), ...(await checkWhole(config, weights, fixture)));
      }
    }
    await vae.release();
    return rows;
  },
};

interface Case {
  readonly name: string;
  readonly pixels: Tensor;
  readonly latents: Tensor<"float32">;
  readonly golden: Checkpoint;
}

async function readCase(dir: string, name: string): Promise<Case> {
  const inputs = await openSafetensors(join(dir, "inputs.safetensors"));
  return {
    name,
    pixels: await inputs.readTensor(`${name}.video_u8`),
    latents: await inputs.readFloat32(`${name}.z`),
    golden: await openSafetensors(join(dir, "outputs.safetensors")),
  };
}

/** Chunk by chunk, as videos are encoded and decoded. */
async function checkStreamed(
  vae: VideoVae,
  { name, pixels, latents: given, golden }: Case,
): Promise<ParityRow[]> {
  const latents = await vae.encode(framesOfPlanes(pixels));
  const decoded = await collect(vae.decodeChunks(given));
  const row = async (key: string, result: Tensor, tolerance: number): Promise<ParityRow> =>
    compare(`${key} (streamed)`, result, await golden.readTensor(key), "relative", tolerance);
  return [
    await row(`${name}.latents`, latents, LATENT_TOLERANCE),
    await row(`${name}.decoded_unclamped`, decoded, PIXEL_TOLERANCE),
  ];
}

/** The whole clip in one graph, as in training. */
async function checkWhole(
  config: WanVaeConfig,
  weights: Checkpoint,
  { name, pixels, latents: given, golden }: Case,
): Promise<ParityRow[]> {
  const video = toVideo(framesOfPlanes(pixels));
  const encoding = new Graph();
  const encoded = encodeMoments(
    config,
    new FeatureCache(encoding, "start"),
    encoding.input("video", video.shape),
  );
  const encoderValues = new Map<string, Value>([
    ["encoder_out", encoded.features],
    ["moments", concat([encoded.mu, encoded.logVariance], 1)],
    ["latents", normalise(config, encoded.mu)],
  ]);
  const decoding = new Graph();
  const features = denormalise(config, decoding.input("latents", given.shape));
  const decoded = decodeFeatures(config, new FeatureCache(decoding, "start"), features);
  const encoder = { graph: encoding, values: encoderValues, feeds: { video }, weights: [weights] };
  const decoder = {
    graph: decoding,
    values: new Map([["decoded_unclamped", decoded]]),
    feeds: { latents: given },
    weights: [weights],
  };
  return [
    ...(await compareNamedValues(name, golden, encoder, LATENT_TOLERANCE, ["decoded_unclamped"])),
    ...(await compareNamedValues(name, golden, decoder, PIXEL_TOLERANCE, [...encoderValues.keys()])),
  ];
}

/** Tile by tile: latents, picture, and the weights of a corner tile and of one that touches no edge. */
async function checkTiled(
  vae: VideoVae,
  { name, pixels, latents: given, golden }: Case,
  tiling: Tiling,
): Promise<ParityRow[]> {
  const frames = framesOfPlanes(pixels);
  const tiled = new TiledVae(vae, (height, width) => planTiles(height, width, tiling));
  const decoded = await tiled.decodeVideo(given);
  const clamped = { ...decoded, data: decoded.data.map((x) => Math.min(1, Math.max(-1, x))) };
  const inner = { top: false, bottom: false, left: false, right: false };
  const border = [tiling.size[0] - tiling.stride[0], tiling.size[1] - tiling.stride[1]] as const;
  const weights = (atEdge: typeof inner): Tensor<"float32"> => ({
    dtype: "float32",
    shape: tiling.size,
    data: tileWeights(...tiling.size, atEdge, border),
  });
  const results = new Map<string, readonly [Tensor, number]>([
    ["latents", [await tiled.encode(frames), LATENT_TOLERANCE]],
    ["latents_untiled", [await vae.encode(frames), LATENT_TOLERANCE]],
    ["decoded", [clamped, PIXEL_TOLERANCE]],
    ["mask_latent_first_tile", [weights({ ...inner, top: true, left: true }), LATENT_TOLERANCE]],
    ["mask_latent_inner_tile", [weights(inner), LATENT_TOLERANCE]],
  ]);
  const rows: ParityRow[] = [];
  for (const key of golden.tensors.keys()) {
    if (!key.startsWith(`${name}.`)) continue;
    const result = results.get(key.slice(name.length + 1));
    rows.push(
      result ? compare(key, result[0], await golden.readTensor(key), "relative", result[1]) : unknownRow(key),
    );
  }
  return rows;
}

async function collect(chunks: AsyncIterable<Tensor>): Promise<Tensor> {
  const parts: Tensor[] = [];
  for await (const chunk of chunks) parts.push(chunk);
  return concatFrames(parts);
}
