// Shapes: T frames, H W rows and columns in pixels, t h w the same of latents, Z latent channels

import { UserError, invariant } from "../tensor/errors.ts";
import { type Tensor, float32, zeros } from "../tensor/tensor.ts";
import { type Image, createImage } from "../media/pixels.ts";
import {
  type WanVaeConfig,
  numLatentFrames,
  spatialStride,
  temporalStride,
} from "../models/wan-vae/config.ts";
import { type VaeChunk, buildVaeDecoder, buildVaeEncoder } from "../models/wan-vae/model.ts";
import { type Runner, type Slot, newSlot } from "../runtime/runner.ts";

/** A video, frame by frame; all frames have the same size. */
export type Frames = AsyncIterable<Image> | Iterable<Image>;

/** Makes a VAE graph ready to run, its parameters bound. The runner must keep slots. */
export type OpenVaeGraph = (graph: ReturnType<typeof buildVaeEncoder>, name: string) => Promise<Runner>;

/** Turns videos into latents and back. */
export interface VideoCodec {
  readonly config: WanVaeConfig;
  /**
   * 1 + 4k frames -> normalised latents [1, Z, 1 + k, H/8, W/8]. Throws UserError for another number of frames,
   * for sides that are no multiples of 8, and for frames of different sizes.
   */
  encode(frames: Frames): Promise<Tensor<"float32">>;
  /** Normalised latents [1, Z, 1 + k, h, w] -> 1 + 4k frames, limited to the range of bytes. */
  decode(latents: Tensor<"float32">): AsyncGenerator<Image>;
}

type Side = "encoder" | "decoder";

/** What the layers remember from chunk to chunk, in the engine's memory. */
type History = Map<string, Slot>;

/**
 * Encodes and decodes videos of any length chunk by chunk: memory depends on the frame size only. Graphs are opened
 * when first needed, one pair per side and frame size, and kept until `release`.
 */
export class VideoVae implements VideoCodec {
  private readonly runners = new Map<string, Promise<Runner>>();
  /** Histories of finished videos, to be written over by later ones: slots are never freed singly. */
  private readonly idle: Readonly<Record<Side, History[]>> = { encoder: [], decoder: [] };

  constructor(
    readonly config: WanVaeConfig,
    private readonly open: OpenVaeGraph,
  ) {}

  async encode(frames: Frames): Promise<Tensor<"float32">> {
    const stride = temporalStride(this.config);
    const parts: Tensor[] = [];
    const history = this.idle.encoder.pop() ?? new Map();
    let pending: Image[] = [];
    let numFrames = 0;
    for await (const frame of frames) {
      pending.push(frame);
      numFrames++;
      if (pending.length < (parts.length === 0 ? 1 : stride)) continue;
      parts.push(await this.encodeChunk(pending, parts.length === 0, history));
      pending = [];
    }
    this.idle.encoder.push(history);
    numLatentFrames(this.config, numFrames);
    return concatFrames(parts);
  }

  async *decode(latents: Tensor<"float32">): AsyncGenerator<Image> {
    for await (const chunk of this.decodeChunks(latents)) yield* toImages(chunk);
  }

  /** Normalised latents [1, Z, t, h, w] -> videos [1, 3, 1 or 4, H, W] of one latent frame each, not clamped. */
  async *decodeChunks(latents: Tensor<"float32">): AsyncGenerator<Tensor<"float32">> {
    const [, , numFrames, latentHeight, latentWidth] = latentShape(this.config, latents);
    const history = this.idle.decoder.pop() ?? new Map();
    for (let t = 0; t < numFrames; t++) {
      const position = t === 0 ? "start" : "next";
      const chunk: VaeChunk = { position, numLatentFrames: 1, latentHeight, latentWidth };
      const feeds = { latents: frameOf(latents, t) };
      const { video } = await this.runChunk("decoder", chunk, feeds, history);
      yield video as Tensor<"float32">;
    }
    this.idle.decoder.push(history);
  }

  /** Closes all graphs. */
  async release(): Promise<void> {
    const opened = await Promise.all(this.runners.values());
    this.runners.clear();
    await Promise.all(opened.map((runner) => runner.release()));
  }

  private async encodeChunk(frames: readonly Image[], atStart: boolean, history: History): Promise<Tensor> {
    const { width, height } = frames[0]!;
    const stride = spatialStride(this.config);
    if (width % stride !== 0 || height % stride !== 0) {
      throw new UserError(
        `the VAE got frames of ${width}x${height}; both sides must be multiples of ${stride}`,
      );
    }
    const chunk: VaeChunk = {
      position: atStart ? "start" : "next",
      numLatentFrames: 1,
      latentHeight: height / stride,
      latentWidth: width / stride,
    };
    const { latents } = await this.runChunk("encoder", chunk, { video: toVideo(frames) }, history);
    return latents!;
  }

  /** Runs one chunk. */
  private async runChunk(
    side: Side,
    chunk: VaeChunk,
    feeds: Readonly<Record<string, Tensor>>,
    history: History,
  ): Promise<Record<string, Tensor>> {
    const runner = await this.runnerFor(side, chunk);
    const past: Record<string, Slot> = {};
    for (const { name } of runner.inputs) {
      if (!name.startsWith("cache:")) continue;
      const slot = history.get(name);
      invariant(slot, `no chunk before this one has left ${name}`);
      past[name] = slot;
    }
    const keep: Record<string, Slot> = {};
    for (const { name } of runner.outputs) {
      if (!name.startsWith("newCache:")) continue;
      const key = name.replace("newCache:", "cache:");
      const slot = history.get(key) ?? newSlot();
      history.set(key, slot);
      keep[name] = slot;
    }
    return runner.run({ ...feeds, ...past }, { keep });
  }

  private runnerFor(side: Side, chunk: VaeChunk): Promise<Runner> {
    const id = `${side} ${chunk.position} ${chunk.latentWidth}x${chunk.latentHeight}`;
    const known = this.runners.get(id);
    if (known) return known;
    const build = side === "encoder" ? buildVaeEncoder : buildVaeDecoder;
    const opened = this.open(build(this.config, chunk), `VAE ${side}`);
    this.runners.set(id, opened);
    return opened;
  }
}

/** The shape [1, Z, t, h, w] of latents. */
export function latentShape(
  config: WanVaeConfig,
  { shape }: Tensor,
): readonly [number, number, number, number, number] {
  invariant(
    shape.length === 5 && shape[0] === 1 && shape[1] === config.zDim,
    `latents of shape [${shape.join(", ")}], expected [1, ${config.zDim}, t, h, w]`,
  );
  return shape as unknown as [number, number, number, number, number];
}

/** One frame [1, C, 1, H, W] of a tensor [1, C, T, H, W]. */
export function frameOf({ shape, data }: Tensor<"float32">, t: number): Tensor<"float32"> {
  const [, channels, numFrames, h, w] = shape as [number, number, number, number, number];
  const frame = zeros([1, channels, 1, h, w]);
  for (let c = 0; c < channels; c++) {
    const from = (c * numFrames + t) * h * w;
    frame.data.set(data.subarray(from, from + h * w), c * h * w);
  }
  return frame;
}

/** Joins chunks [1, C, Ti, H, W] in time. */
export function concatFrames(parts: readonly Tensor[]): Tensor<"float32"> {
  const first = parts[0];
  invariant(first, "no frames to join");
  const [, channels, , h, w] = first.shape as [number, number, number, number, number];
  const numFrames = parts.reduce((sum, part) => sum + part.shape[2]!, 0);
  const joined = zeros([1, channels, numFrames, h, w]);
  let t = 0;
  for (const { shape, data } of parts) {
    const size = shape[2]! * h * w;
    for (let c = 0; c < channels; c++) {
      joined.data.set((data as Float32Array).subarray(c * size, (c + 1) * size), (c * numFrames + t) * h * w);
    }
    t += shape[2]!;
  }
  return joined;
}

/** Frames -> [1, 3, T, H, W] in -1..1. Throws UserError when their sizes differ. */
export function toVideo(frames: readonly Image[]): Tensor<"float32"> {
  const { width, height } = frames[0]!;
  const area = width * height;
  const video = new Float32Array(3 * frames.length * area);
  frames.forEach((frame, t) => {
    if (frame.width !== width || frame.height !== height) {
      throw new UserError(
        `frames of a video differ in size: ${width}x${height}, then ${frame.width}x${frame.height}`,
      );
    }
    for (let c = 0; c < 3; c++) {
      const plane = (c * frames.length + t) * area;
      for (let i = 0; i < area; i++) video[plane + i] = (frame.data[3 * i + c]! / 255) * 2 - 1;
    }
  });
  return float32(video, [1, 3, frames.length, height, width]);
}

/** [1, 3, T, H, W] -> frames; -1..1 becomes 0..255, fractions are cut off as in the published code. */
export function toImages({ shape, data }: Tensor<"float32">): Image[] {
  const [, , numFrames, height, width] = shape as [number, number, number, number, number];
  const area = width * height;
  return Array.from({ length: numFrames }, (_, t) => {
    const image = createImage(width, height);
    for (let c = 0; c < 3; c++) {
      const plane = (c * numFrames + t) * area;
      for (let i = 0; i < area; i++) {
        image.data[3 * i + c] = Math.min(255, Math.max(0, (data[plane + i]! + 1) * 127.5));
      }
    }
    return image;
  });
}
