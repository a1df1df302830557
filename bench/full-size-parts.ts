/** The published networks at full size, each with one piece of work that a run gives it. */
import { join } from "node:path";
import { Denoiser, type SegmentInputs } from "../src/diffusion/denoiser.ts";
import { FinetunedWeights } from "../src/diffusion/finetuned-weights.ts";
import { guidedVelocity } from "../src/diffusion/guidance.ts";
import type { Int8Layers } from "../src/diffusion/int8-calibration.ts";
import type { Int8Group } from "../src/diffusion/int8-file.ts";
import { INT8_WEIGHTS_FILE, writeInt8Weights } from "../src/diffusion/int8-weights.ts";
import { VideoVae } from "../src/diffusion/latents.ts";
import { vaeBytes, vaeCost } from "../src/diffusion/vae-cost.ts";
import { createImage } from "../src/media/pixels.ts";
import { buildClipVision } from "../src/models/clip-vision/build.ts";
import { CLIP_VISION_PRESETS } from "../src/models/clip-vision/config.ts";
import { int8LinearGroups, type LinearGroup, quantizeLinears } from "../src/models/layers/int8-linears.ts";
import { type NetworkCost, networkCost, stagedCost, paramBytesOf } from "../src/models/network-cost.ts";
import { buildUmt5 } from "../src/models/umt5/build.ts";
import { UMT5_PRESETS } from "../src/models/umt5/config.ts";
import { type WanDiTShape, buildWanDiT } from "../src/models/wan-dit/build.ts";
import { WAN_DIT_PRESETS, type WanDiTConfig } from "../src/models/wan-dit/config.ts";
import { countTokens } from "../src/models/wan-dit/cost.ts";
import { wanDiTStages } from "../src/models/wan-dit/stages.ts";
import { WAN_VAE } from "../src/models/wan-vae/config.ts";
import { buildVaeDecoder, buildVaeEncoder } from "../src/models/wan-vae/model.ts";
import type { Graph } from "../src/graph/index.ts";
import type { Lane } from "../src/runtime/lane.ts";
import { type Checkpoint, openSafetensors } from "../src/runtime/safetensors.ts";
import { MAP_BEYOND_BYTES, SharedWeights } from "../src/runtime/shared-weights.ts";
import type { WeightSpec } from "../src/runtime/weights.ts";
import { Random } from "../src/tensor/random.ts";
import { type Tensor, float32, int64, sizeOf } from "../src/tensor/tensor.ts";

export interface PartOptions {
  readonly threads: number;
  readonly width: number;
  readonly height: number;
  readonly numFrames: number;
  readonly numLayers: number;
  readonly blocksPerStage: number;
  readonly numTokens: number;
  /** Computes the denoiser's linear layers in int8. */
  readonly isInt8: boolean;
}

export interface FullSizePart {
  readonly title: string;
  /** The weights of its file. */
  readonly specs: readonly WeightSpec[];
  /** What `posegen models plan` counts with. */
  readonly cost: NetworkCost;
  /** Writes what it needs beside its weights, before the work. */
  readonly prepare?: (checkpoint: Checkpoint, folder: string) => Promise<void>;
  /** Opens what it needs and works once. @returns some of what it has made */
  readonly run: (checkpoint: Checkpoint, lane: Lane) => Promise<Float32Array>;
}

const random = new Random("full size");
const normals = (shape: readonly number[]): Tensor<"float32"> =>
  float32(random.normals(sizeOf(shape)), shape);

/** One denoising step, both branches of guidance. */
function denoiser(options: PartOptions): FullSizePart {
  const { threads, width, height, numFrames, numLayers, blocksPerStage, isInt8 } = options;
  const config: WanDiTConfig = { ...WAN_DIT_PRESETS.wan14b, numLayers };
  const shape: WanDiTShape = {
    latentFrames: (numFrames - 1) / 4 + 1,
    latentHeight: height / 8,
    latentWidth: width / 8,
  };
  const specs = [...buildWanDiT(config, shape).params.values()];
  const { video, ref } = countTokens(config, shape);
  const graphs = wanDiTStages(config, shape, null, blocksPerStage).map((build) => build());
  const isMapped = paramBytesOf(graphs) > MAP_BEYOND_BYTES;
  if (isInt8) for (const graph of graphs) quantizeLinears(graph, int8LinearGroups(graph));
  const branch = stagedCost(graphs, isMapped ? 0 : Infinity);
  const groups = int8LinearGroups(buildWanDiT(config, shape)).map((group) => unsmoothed(group, specs));
  let int8: Int8Layers | null = null;
  return {
    title:
      `denoising step${isInt8 ? " in int8" : ""}, ${numLayers} blocks in stages of ${blocksPerStage}; ${numFrames} frames of ${width}x${height}: ` +
      `${video} video and ${ref} reference tokens`,
    specs,
    cost: { ...branch, flops: 2 * branch.flops, effort: 2 * branch.effort },
    async prepare(checkpoint, folder) {
      if (!isInt8) return;
      const path = join(folder, INT8_WEIGHTS_FILE);
      await writeInt8Weights(path, checkpoint, groups, { fingerprint: "", settings: {} });
      int8 = { groups, weights: await openSafetensors(path) };
    },
    run: async (checkpoint, lane) => {
      const latents = (channels: number, frames = shape.latentFrames): Tensor<"float32"> =>
        normals([1, channels, frames, shape.latentHeight, shape.latentWidth]);
      const text = (): Tensor<"float32"> => normals([1, 512, config.textDim]);
      const inputs: SegmentInputs = {
        cond: latents(config.inDim - config.outDim),
        hand: latents(config.outDim),
        ref: latents(config.outDim, 1),
        clipFeature: normals([1, 257, config.imageDim!]),
        contexts: { positive: text(), negative: text() },
        subjectTokens: null,
      };
      const loras = { phase1: [], phase2: [] };
      const weights = await FinetunedWeights.open(checkpoint, loras, specs, { lane, int8 });
      const placement = { device: "cpu", threads, blocksPerStage } as const;
      const model = new Denoiser({ config, shape, maxMapBlock: 10, lane, weights, placement });
      await model.use("phase1");
      const noise = latents(config.outDim).data;
      const velocity = await guidedVelocity(5, (guidance) =>
        model.predict(inputs, { branch: guidance, latents: noise, timestep: 900 }),
      );
      await model.close();
      return velocity;
    },
  };
}

/** A group whose activations are rounded as they are: smoothing costs the same whatever it is. */
function unsmoothed({ name, weights }: LinearGroup, specs: readonly WeightSpec[]): Int8Group {
  const width = specs.find((spec) => spec.name === weights[0])!.shape[1]!;
  return {
    name,
    weights,
    mean: new Float32Array(width),
    factors: new Float32Array(width).fill(1),
    zeroPoint: 128,
  };
}

/** A network in one graph that is opened, run once, and closed. */
function encoder(
  title: string,
  build: () => Graph,
  feeds: () => Readonly<Record<string, Tensor>>,
  threads: number,
): FullSizePart {
  return {
    title,
    specs: [...build().params.values()],
    cost: networkCost(build(), MAP_BEYOND_BYTES),
    run: async (checkpoint, lane) => {
      const weights = new SharedWeights(lane, checkpoint, { model: title });
      const session = await weights.session(build(), { name: title, threads });
      const [result] = Object.values(await session.run(feeds()));
      await session.release();
      await weights.release();
      return result!.data as Float32Array;
    },
  };
}

function textEncoder({ threads, numTokens }: PartOptions): FullSizePart {
  const ids = Array.from({ length: numTokens }, () => random.integer(UMT5_PRESETS.xxl.vocabSize));
  return encoder(
    `UMT5-xxl, a prompt of ${numTokens} tokens`,
    () => buildUmt5(UMT5_PRESETS.xxl, { numTokens }),
    () => ({ ids: int64(ids, [1, numTokens]), mask: int64(new Array(numTokens).fill(1), [1, numTokens]) }),
    threads,
  );
}

function imageEncoder({ threads }: PartOptions): FullSizePart {
  const config = CLIP_VISION_PRESETS.vitH;
  return encoder(
    "CLIP ViT-H, one picture",
    () => buildClipVision(config),
    () => ({ pixels: normals([1, 3, config.imageSize, config.imageSize]) }),
    threads,
  );
}

/** A video encoded and decoded. */
function vae({ threads, width, height, numFrames }: PartOptions): FullSizePart {
  const cost = vaeCost(WAN_VAE, { width, height, numFrames }, false);
  const { encode, decode } = cost;
  const chunk = { position: "next", numLatentFrames: 1, latentHeight: 2, latentWidth: 2 } as const;
  const [encoding, decoding] = [buildVaeEncoder(WAN_VAE, chunk), buildVaeDecoder(WAN_VAE, chunk)];
  return {
    title: `VAE, ${numFrames} frames of ${width}x${height} encoded and decoded`,
    specs: [...new Map([...encoding.params, ...decoding.params]).values()],
    cost: {
      flops: encode.flops + decode.flops,
      effort: encode.effort + decode.effort,
      heldBytes: encode.weightBytes + decode.weightBytes,
      engineBytes: vaeBytes(cost),
    },
    run: async (checkpoint, lane) => {
      const weights = new SharedWeights(lane, checkpoint, { model: "the VAE" });
      const codec = new VideoVae(WAN_VAE, (graph, name) => weights.session(graph, { name, threads }));
      const latents = await codec.encode(Array.from({ length: numFrames }, () => createImage(width, height)));
      let last: Tensor<"float32"> | undefined;
      for await (const frames of codec.decodeChunks(latents)) last = frames;
      await codec.release();
      await weights.release();
      return last!.data;
    },
  };
}

export const FULL_SIZE_PARTS: Readonly<Record<string, (options: PartOptions) => FullSizePart>> = {
  denoiser,
  "text-encoder": textEncoder,
  "image-encoder": imageEncoder,
  vae,
};
