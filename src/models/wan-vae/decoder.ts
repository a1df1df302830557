// Shapes: B batch, T frames, H W rows and columns in pixels, t h w the same of latents, Z latent channels

import { type Scope, type Value, silu } from "../../graph/index.ts";
import { type WanVaeConfig } from "./config.ts";
import { middle } from "./encoder.ts";
import { type FeatureCache } from "./feature-cache.ts";
import { causalConv, channelNorm, residualBlock } from "./layers.ts";
import { upsampleSpace, upsampleTime } from "./resample.ts";

/** Features [B, Z, t, h, w], after the pointwise convolution of the latents -> video [B, 3, T, H, W], not clamped. */
export function decoder(scope: Scope, config: WanVaeConfig, cache: FeatureCache, z: Value): Value {
  const { dim, dimMult, numResBlocks } = config.decoder;
  let x = causalConv(scope.in("conv1"), cache, z, dim * dimMult.at(-1)!);
  x = middle(scope.in("middle"), cache, x);
  const stages = scope.in("upsamples");
  let index = 0;
  for (let level = dimMult.length - 1; level >= 0; level--) {
    for (let block = 0; block <= numResBlocks; block++) {
      x = residualBlock(stages.in(index++), cache, x, dim * dimMult[level]!);
    }
    if (level === 0) break;
    const resample = stages.in(index++);
    if (config.temporalDownsample[level - 1]) x = upsampleTime(resample, cache, x);
    x = upsampleSpace(resample, x);
  }
  const head = scope.in("head");
  return causalConv(head.in(2), cache, silu(channelNorm(head.in(0), x, 3)), 3);
}
