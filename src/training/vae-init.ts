import { type WanVaeConfig } from "../models/wan-vae/config.ts";
import { UserError, invariant } from "../tensor/errors.ts";
import { Random } from "../tensor/random.ts";
import { type Tensor } from "../tensor/tensor.ts";
import { type ChannelStatistics, LatentStatistics } from "./latent-statistics.ts";
import { Moments } from "./linear-algebra.ts";
import { fitDecoder } from "./vae-init-decoder.ts";
import { fitEncoder, fitLatents } from "./vae-init-encoder.ts";
import { VaeWeights, vaeLevels } from "./vae-layout.ts";
import { VaeProbe } from "./vae-probe.ts";
import { type VaeInit } from "./vae-fit.ts";
import { type Params } from "./train.ts";

/**
 * Weights for the training of a small VAE to start from: the convolutions between resolutions carry a linear code of
 * the video, and every residual branch and attention adds nothing yet. The encoder's are principal components; the
 * decoder's are linear regressions. From there, training reaches in minutes what takes hours from random weights.
 *
 * @param clips videos [1, 3, T, H, W] in -1..1, all of one shape; they should show all that will be encoded
 * @throws UserError when levels have too few channels for the code
 */
export async function initialVaeWeights(
  config: WanVaeConfig,
  clips: readonly Tensor<"float32">[],
  seed: number,
  log: (line: string) => void = () => {},
): Promise<Params> {
  const first = clips[0];
  invariant(first, "no clips to initialise from");
  checkWidths(config);
  const weights = VaeWeights.random(config, seed);
  const levels = [...vaeLevels(config, "encoder").slice(0, -1), ...vaeLevels(config, "decoder").slice(1)];
  const layers = levels.flatMap(({ resample, temporal }) => [
    `${resample}.resample.1`,
    ...(temporal ? [`${resample}.time_conv`] : []),
  ]);
  const probe = await VaeProbe.open(config, first.shape, [...layers, "decoder.conv1", "decoder.head.2"]);
  const init = initWith(weights, probe, clips, new Random(seed).fork("samples"), log);
  muteConstants(weights);
  const sizes = await fitEncoder(config, init);
  await fitLatents(config, init);
  await fitDecoder(config, init, sizes);
  await probe.release();
  return weights.tensors;
}

/** Room for the code: with its negative and the constant where encoder and decoder end. */
function checkWidths({ encoder, decoder, zDim }: WanVaeConfig): void {
  const [above, deepest] = encoder.dimMult.slice(-2).map((factor) => encoder.dim * factor);
  const [full, half] = decoder.dimMult.slice(0, 2).map((factor) => decoder.dim * factor);
  if (above !== deepest || deepest! < 2 * zDim + 1 || full! < 7 || half! < 14) {
    throw new UserError(
      `the analytic start needs equal channels at the encoder's last two levels, at least ${2 * zDim + 1} ` +
        `(got ${above} and ${deepest}), and 7 and 14 at the decoder's last two (got ${full} and ${half})`,
    );
  }
}

/**
 * The constant serves the norms alone. Behind them it would be one more bias, many times as strong as the true one,
 * and every step of training would shake the layer by it.
 */
function muteConstants({ tensors }: VaeWeights): void {
  for (const [key, { data }] of Object.entries(tensors)) {
    if (/\.(residual\.0|norm|head\.0)\.gamma$/.test(key)) data[data.length - 1] = 0;
  }
}

function initWith(
  weights: VaeWeights,
  probe: VaeProbe,
  clips: readonly Tensor<"float32">[],
  random: Random,
  log: (line: string) => void,
): VaeInit {
  return {
    weights,
    random,
    log,
    async eachClip(visit) {
      for (const clip of clips) visit((await probe.run(weights.tensors, clip)).layers, clip);
    },
    async moments(layer, sample) {
      let moments: Moments | undefined;
      await this.eachClip((layers) =>
        sample(layers.get(layer)!, (vector) => {
          moments ??= new Moments(vector.length);
          moments.add(vector);
        }),
      );
      invariant(moments, `no samples of ${layer}`);
      return moments;
    },
    latentStatistics: () => latentStatistics(probe, weights.tensors, clips),
  };
}

/** Measures the latents (before normalisation) of clips: what a model's config.json holds as latentMean and latentStd. */
export async function latentStatistics(
  probe: VaeProbe,
  weights: Params,
  clips: readonly Tensor<"float32">[],
): Promise<ChannelStatistics[]> {
  let statistics: LatentStatistics | undefined;
  for (const clip of clips) {
    const { shape, data } = (await probe.run(weights, clip)).mu;
    statistics ??= new LatentStatistics(shape[1]!);
    statistics.add(data);
  }
  invariant(statistics, "no clips to measure");
  return statistics.channels;
}
