// Shapes: B batch, C channels, T frames (pixel or latent), H rows, W columns of the layer's resolution

import {
  type Scope,
  type Value,
  add,
  attention,
  conv,
  div,
  expand,
  matmul,
  maximum,
  mul,
  rearrange,
  reshape,
  silu,
  split,
  sqrt,
} from "../../graph/index.ts";
import { type FeatureCache } from "./feature-cache.ts";

/** Smallest channel norm divided by, as in torch.nn.functional.normalize. */
const MIN_NORM = 1e-12;

/** Causal 3x3x3 convolution: an output frame sees its own input frame and the two before it. */
export function causalConv(scope: Scope, cache: FeatureCache, x: Value, numOut: number): Value {
  const weight = scope.param("weight", [numOut, x.dim(1), 3, 3, 3]);
  const bias = scope.param("bias", [numOut]);
  const past = cache.extend(scope.path, x, 2);
  return conv(past.x, weight, bias, { padsBefore: [past.numMissing, 1, 1], padsAfter: [0, 1, 1] });
}

/** 1x1x1 convolution: a linear map of the channels. */
export function pointwiseConv(scope: Scope, x: Value, numOut: number): Value {
  return conv(x, scope.param("weight", [numOut, x.dim(1), 1, 1, 1]), scope.param("bias", [numOut]));
}

export interface FrameConvOptions {
  readonly numOut: number;
  /** Rows and columns of the kernel. */
  readonly kernel: number;
  readonly stride?: number;
  /** Zeros above and left of each frame, and below and right of it. */
  readonly padBefore?: number;
  readonly padAfter?: number;
}

/** 2D convolution of each frame. */
export function frameConv(scope: Scope, x: Value, options: FrameConvOptions): Value {
  const { numOut, kernel, stride = 1, padBefore = 0, padAfter = 0 } = options;
  const weight = scope.param("weight", [numOut, x.dim(1), kernel, kernel]);
  return conv(x, reshape(weight, [numOut, x.dim(1), 1, kernel, kernel]), scope.param("bias", [numOut]), {
    strides: [1, stride, stride],
    padsBefore: [0, padBefore, padBefore],
    padsAfter: [0, padAfter, padAfter],
  });
}

/**
 * x / |x| · sqrt(C) · gamma, with |x| over the channels of each pixel.
 * `trailing` is the number of axes of 1 that follow the channels in the checkpoint's gamma.
 */
export function channelNorm(scope: Scope, x: Value, trailing: 2 | 3): Value {
  const channels = x.dim(1);
  const gamma = scope.param("gamma", [channels, ...new Array<number>(trailing).fill(1)]);
  const flat = reshape(x, [x.dim(0), channels, -1]);
  // The sum over channels as a matrix product is several times faster than a reduction of an outer axis.
  const ones = expand(x.graph.scalar(1, x.dtype), [1, channels]);
  const norm = sqrt(maximum(matmul(ones, mul(flat, flat)), MIN_NORM ** 2));
  const scaled = mul(mul(flat, div(Math.sqrt(channels), norm)), reshape(gamma, [channels, 1]));
  return reshape(scaled, x.shape);
}

/** Two causal convolutions, each after norm and SiLU, beside a shortcut. */
export function residualBlock(scope: Scope, cache: FeatureCache, x: Value, numOut: number): Value {
  const residual = scope.in("residual");
  const shortcut = x.dim(1) === numOut ? x : pointwiseConv(scope.in("shortcut"), x, numOut);
  let h = causalConv(residual.in(2), cache, silu(channelNorm(residual.in(0), x, 3)), numOut);
  h = causalConv(residual.in(6), cache, silu(channelNorm(residual.in(3), h, 3)), numOut);
  return add(h, shortcut);
}

/** Single-head self-attention among the pixels of each frame. */
export function attentionBlock(scope: Scope, x: Value): Value {
  const [b, channels, t, h, w] = x.shape as [number, number, number, number, number];
  const normal = channelNorm(scope.in("norm"), x, 2);
  const qkv = frameConv(scope.in("to_qkv"), normal, { numOut: 3 * channels, kernel: 1 });
  const tokens = rearrange(qkv, "B C T H W -> (B T) (H W) C");
  const [q, k, v] = split(tokens, 2, [channels, channels, channels]) as [Value, Value, Value];
  const mixed = rearrange(attention(q, k, v, 1), "(B T) (H W) C -> B C T H W", { B: b, T: t, H: h, W: w });
  return add(x, frameConv(scope.in("proj"), mixed, { numOut: channels, kernel: 1 }));
}
