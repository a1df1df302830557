/** What the fits of encoder and decoder share; see `initialVaeWeights`. */
import { type Random } from "../tensor/random.ts";
import { type Tensor } from "../tensor/tensor.ts";
import { type ChannelStatistics } from "./latent-statistics.ts";
import { type Moments } from "./linear-algebra.ts";
import { type LayerFeatures } from "./vae-probe.ts";
import { type VaeWeights } from "./vae-layout.ts";

/**
 * The last channel of every level is this constant. It keeps the channel norms from dividing by the picture's
 * contrast: beside it, norm and SiLU let a pair (x, -x) through almost as a linear function.
 */
export const CONSTANT = 5;

/** Vectors drawn per clip and layer. */
export const SAMPLES_PER_CLIP = 600;

/** A start in the making. */
export interface VaeInit {
  readonly weights: VaeWeights;
  readonly random: Random;
  readonly log: (line: string) => void;
  /** Runs all clips with the weights made so far. */
  eachClip(
    visit: (layers: ReadonlyMap<string, LayerFeatures>, video: Tensor<"float32">) => void,
  ): Promise<void>;
  /** Moments of vectors that `sample` draws from a layer's features, clip by clip. */
  moments(
    layer: string,
    sample: (features: LayerFeatures, add: (vector: Float64Array) => void) => void,
  ): Promise<Moments>;
  /** Of each latent channel. */
  latentStatistics(): Promise<readonly ChannelStatistics[]>;
}
