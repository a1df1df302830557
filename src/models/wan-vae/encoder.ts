// Shapes: B batch, T frames, H W rows and columns in pixels, t h w the same of latents, Z latent channels

import { type Scope, type Value, silu } from "../../graph/index.ts";
import { type WanVaeConfig } from "./config.ts";
import { type FeatureCache } from "./feature-cache.ts";
import { attentionBlock, causalConv, channelNorm, residualBlock } from "./layers.ts";
import { downsampleSpace, downsampleTime } from "./resample.ts";

/** Video [B, 3, T, H, W] in -1..1 -> features [B, 2Z, t, h, w], before the pointwise convolution of the moments. */
export function encoder(scope: Scope, config: WanVaeConfig, cache: FeatureCache, video: Value): Value {
  const { dim, dimMult, numResBlocks } = config.encoder;
  let x = causalConv(scope.in("conv1"), cache, video, dim);
  const stages = scope.in("downsamples");
  let index = 0;
  dimMult.forEach((factor, level) => {
    for (let block = 0; block < numResBlocks; block++) {
      x = residualBlock(stages.in(index++), cache, x, dim * factor);
    }
    if (level === dimMult.length - 1) return;
    const resample = stages.in(index++);
    x = downsampleSpace(resample, x);
    if (config.temporalDownsample[level]) x = downsampleTime(resample, cache, x);
  });
  x = middle(scope.in("middle"), cache, x);
  const head = scope.in("head");
  return causalConv(head.in(2), cache, silu(channelNorm(head.in(0), x, 3)), 2 * config.zDim);
}

/** The deepest stage of both sides. */
export function middle(scope: Scope, cache: FeatureCache, x: Value): Value {
  const before = residualBlock(scope.in(0), cache, x, x.dim(1));
  return residualBlock(scope.in(2), cache, attentionBlock(scope.in(1), before), x.dim(1));
}
