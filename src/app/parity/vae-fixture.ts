/** What the fixtures of the VAE (vae, cond) share: configuration, pictures, running its graphs. */
import { z } from "zod";
import { VideoVae } from "../../diffusion/latents.ts";
import { serialize } from "../../graph/index.ts";
import { type Image, imageFromBytes } from "../../media/pixels.ts";
import { WAN_VAE, type WanVaeConfig } from "../../models/wan-vae/config.ts";
import { Engine } from "../../runtime/engine.ts";
import { type Checkpoint } from "../../runtime/safetensors.ts";
import { loadWeights } from "../../runtime/weights.ts";
import { type Tensor } from "../../tensor/tensor.ts";

const size = z.number().int().positive();

/** The VAE's configuration as the published code spells it. */
export const vaeConfigSchema = z.object({
  dim: size,
  z_dim: size,
  dim_mult: z.array(size),
  num_res_blocks: size,
  attn_scales: z.tuple([]),
  temperal_downsample: z.array(z.boolean()),
});

/** The architecture in our terms, with the published statistics of latents unless others are given. */
export function wanVaeConfig(
  config: z.infer<typeof vaeConfigSchema>,
  { latentMean, latentStd }: Pick<WanVaeConfig, "latentMean" | "latentStd"> = WAN_VAE,
): WanVaeConfig {
  const side = { dim: config.dim, dimMult: config.dim_mult, numResBlocks: config.num_res_blocks };
  return {
    encoder: side,
    decoder: side,
    zDim: config.z_dim,
    temporalDownsample: config.temperal_downsample,
    latentMean,
    latentStd,
  };
}

/** A VAE in this thread. The caller releases it. */
export function openVae(config: WanVaeConfig, weights: Checkpoint): VideoVae {
  const slots = new Map();
  return new VideoVae(config, async (graph, name) => {
    const inputs = await loadWeights(graph.params.values(), weights, name);
    return Engine.create(serialize(graph), { name, inputs }, slots);
  });
}

/** Frames of a video [3, T, H, W] of bytes. */
export function framesOfPlanes({ shape, data }: Tensor): Image[] {
  const [, numFrames, height, width] = shape as [number, number, number, number];
  const area = height * width;
  return Array.from({ length: numFrames }, (_, t) => {
    const pixels = new Uint8Array(3 * area);
    for (let i = 0; i < pixels.length; i++) {
      pixels[i] = Number(data[((i % 3) * numFrames + t) * area + Math.floor(i / 3)]);
    }
    return imageFromBytes(width, height, pixels);
  });
}

/** Frames of a video [T, H, W, 3] of bytes. */
export function framesOfPixels({ shape, data }: Tensor): Image[] {
  const [numFrames, height, width] = shape as [number, number, number, number];
  const bytes = 3 * height * width;
  return Array.from({ length: numFrames }, (_, t) =>
    imageFromBytes(width, height, Uint8Array.from(data.subarray(t * bytes, (t + 1) * bytes) as Uint8Array)),
  );
}
