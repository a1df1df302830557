import { type WanVaeConfig } from "../models/wan-vae/config.ts";
import { buildVaeDecoder, buildVaeEncoder } from "../models/wan-vae/model.ts";
import { Random } from "../tensor/random.ts";
import { type Tensor, sizeOf, zeros } from "../tensor/tensor.ts";

/** One resolution of one side of the VAE, 0 being full resolution. */
export interface VaeLevel {
  readonly channels: number;
  /** Whether the frame rate changes with the resolution between this level and its neighbour in data order. */
  readonly temporal: boolean;
  /** Scope path of the first residual block. */
  readonly block: string;
  /** Scope path of the change of resolution that follows. */
  readonly resample: string;
}

/** Levels by resolution, whatever the order in which the side visits them. */
export function vaeLevels(config: WanVaeConfig, side: "encoder" | "decoder"): VaeLevel[] {
  const { dim, dimMult, numResBlocks } = config[side];
  const isEncoder = side === "encoder";
  const stages = `${side}.${isEncoder ? "downsamples" : "upsamples"}`;
  const stride = numResBlocks + (isEncoder ? 1 : 2);
  return dimMult.map((factor, level) => {
    const first = stride * (isEncoder ? level : dimMult.length - 1 - level);
    return {
      channels: dim * factor,
      temporal: config.temporalDownsample[isEncoder ? level : level - 1] ?? false,
      block: `${stages}.${first}`,
      resample: `${stages}.${first + stride - 1}`,
    };
  });
}

/** Parameters of a VAE while they are made. */
export class VaeWeights {
  private constructor(readonly tensors: Record<string, Tensor<"float32">>) {}

  /** He initialisation, unit norms, and zeros at the end of every residual branch and attention. */
  static random(config: WanVaeConfig, seed: number): VaeWeights {
    const chunk = { position: "start", numLatentFrames: 2, latentHeight: 2, latentWidth: 2 } as const;
    const tensors: Record<string, Tensor<"float32">> = {};
    for (const graph of [buildVaeEncoder(config, chunk), buildVaeDecoder(config, chunk)]) {
      for (const [key, { shape }] of graph.params) {
        tensors[key] = initialValue(key, shape, new Random(seed).fork(key));
      }
    }
    return new VaeWeights(tensors);
  }

  has(layer: string): boolean {
    return this.tensors[`${layer}.weight`] !== undefined;
  }

  weight(layer: string): Tensor<"float32"> {
    return this.tensors[`${layer}.weight`]!;
  }

  bias(layer: string): Float32Array {
    return this.tensors[`${layer}.bias`]!.data;
  }

  /** Sets a layer to zero. */
  clear(layer: string): void {
    this.weight(layer).data.fill(0);
    this.bias(layer).fill(0);
  }

  /** Sets the weight of one tap; taps count row-major over the kernel. */
  setTap(layer: string, out: number, input: number, tap: number, x: number): void {
    const { shape, data } = this.weight(layer);
    data[(out * shape[1]! + input) * sizeOf(shape.slice(2)) + tap] = x;
  }

  /** Makes a layer hand on its first channels unchanged: `tap` is the one at the output's own place. */
  carry(layer: string, numChannels: number, tap: number): void {
    this.clear(layer);
    for (let c = 0; c < numChannels; c++) this.setTap(layer, c, c, tap, 1);
  }
}

function initialValue(key: string, shape: readonly number[], random: Random): Tensor<"float32"> {
  const value = zeros(shape);
  if (key.endsWith(".gamma")) value.data.fill(1);
  const endsBranch = key.includes(".residual.6.") || key.includes(".proj.");
  if (!key.endsWith(".weight") || endsBranch) return value;
  const deviation = Math.sqrt(2 / sizeOf(shape.slice(1)));
  return { ...value, data: random.normals(value.data.length).map((x) => x * deviation) };
}

/** Tap of a causal 3x3x3 kernel at the output's own place. */
export const OWN_TAP = 2 * 9 + 4;

/**
 * Which channel holds component i of a code whose first `mirror` components have their negatives behind them:
 * c0 … cm-1, -c0 … -cm-1, cm, cm+1, …
 */
export function channelOf(component: number, mirror: number): number {
  return component < mirror ? component : component + mirror;
}
