// Shapes: T frames, H W rows and columns in pixels, t h w the same of latents, Z latent channels
import { type Image } from "../media/pixels.ts";
import { type Box, crop } from "../media/resize.ts";
import { type WanVaeConfig, numLatentFrames, spatialStride } from "../models/wan-vae/config.ts";
import { invariant } from "../tensor/errors.ts";
import { type Tensor, float32, zeros } from "../tensor/tensor.ts";
import { type PlanTiles, type Tile, TileBlend, planEqualTiles, tileWeights } from "./latent-tiles.ts";
import {
  type Frames,
  type VideoCodec,
  type VideoVae,
  concatFrames,
  frameOf,
  latentShape,
  toImages,
} from "./latents.ts";

/**
 * The VAE tile by tile, each tile through the whole video: the engine's memory depends on the size of a tile only. In
 * turn the video is held while it is put together, as bytes for encoding and as float32 after decoding. Where tiles
 * overlap they are blended; the result differs a little from that of whole frames.
 */
export class TiledVae implements VideoCodec {
  constructor(
    private readonly vae: VideoVae,
    private readonly plan: PlanTiles = planEqualTiles,
  ) {}

  get config(): WanVaeConfig {
    return this.vae.config;
  }

  async encode(video: Frames): Promise<Tensor<"float32">> {
    const frames: Image[] = [];
    for await (const frame of video) frames.push(frame);
    const stride = spatialStride(this.config);
    const numFrames = numLatentFrames(this.config, frames.length);
    const [height, width] = [frames[0]!.height / stride, frames[0]!.width / stride];
    const { tiles, border } = this.plan(height, width);
    const blend = new TileBlend(this.config.zDim * numFrames, height, width);
    for (const tile of tiles) {
      const box = boxOf(scaleTile(tile, stride));
      const latents = await this.vae.encode(frames.map((frame) => crop(frame, box)));
      blend.add(tile, latents.data, weightsOf(tile, height, width, border));
    }
    return float32(blend.finish(), [1, this.config.zDim, numFrames, height, width]);
  }

  async *decode(latents: Tensor<"float32">): AsyncGenerator<Image> {
    const video = await this.decodeVideo(latents);
    for (let t = 0; t < video.shape[2]!; t++) yield* toImages(frameOf(video, t));
  }

  /** Normalised latents [1, Z, 1 + k, h, w] -> the video [1, 3, 1 + 4k, H, W], not clamped. */
  async decodeVideo(latents: Tensor<"float32">): Promise<Tensor<"float32">> {
    const [, , , height, width] = latentShape(this.config, latents);
    const stride = spatialStride(this.config);
    const { tiles, border } = this.plan(height, width);
    const borderInPixels = border.map((length) => length * stride);
    let blend: TileBlend | undefined;
    let numFrames = 0;
    for (const tile of tiles) {
      const chunks: Tensor[] = [];
      for await (const chunk of this.vae.decodeChunks(cropLatents(latents, tile))) chunks.push(chunk);
      const video = concatFrames(chunks);
      numFrames = video.shape[2]!;
      blend ??= new TileBlend(3 * numFrames, height * stride, width * stride);
      const weights = weightsOf(scaleTile(tile, stride), height * stride, width * stride, borderInPixels);
      blend.add(scaleTile(tile, stride), video.data, weights);
    }
    invariant(blend, "latents without pixels");
    return float32(blend.finish(), [1, 3, numFrames, height * stride, width * stride]);
  }
}

function scaleTile({ top, bottom, left, right }: Tile, factor: number): Tile {
  return { top: top * factor, bottom: bottom * factor, left: left * factor, right: right * factor };
}

function boxOf({ top, bottom, left, right }: Tile): Box {
  return { top, left, width: right - left, height: bottom - top };
}

function weightsOf(tile: Tile, height: number, width: number, border: readonly number[]): Float32Array {
  const { top, bottom, left, right } = tile;
  const atEdge = { top: top === 0, bottom: bottom === height, left: left === 0, right: right === width };
  return tileWeights(bottom - top, right - left, atEdge, [border[0]!, border[1]!]);
}

function cropLatents(
  { shape, data }: Tensor<"float32">,
  { top, bottom, left, right }: Tile,
): Tensor<"float32"> {
  const [, channels, numFrames, height, width] = shape as [number, number, number, number, number];
  const part = zeros([1, channels, numFrames, bottom - top, right - left]);
  let to = 0;
  for (let plane = 0; plane < channels * numFrames; plane++) {
    for (let y = top; y < bottom; y++) {
      const from = (plane * height + y) * width;
      part.data.set(data.subarray(from + left, from + right), to);
      to += right - left;
    }
  }
  return part;
}
