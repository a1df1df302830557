// Shapes: B batch, C channels, T frames, H rows, W columns of the layer's input

import {
  type Scope,
  type Value,
  concat,
  conv,
  rearrange,
  slice,
  upsampleNearest,
} from "../../graph/index.ts";
import { type FeatureCache } from "./feature-cache.ts";
import { frameConv } from "./layers.ts";

/** Halves rows and columns: [B, C, T, H, W] -> [B, C, T, H/2, W/2]. The border is padded below and right only. */
export function downsampleSpace(scope: Scope, x: Value): Value {
  return frameConv(scope.in("resample").in(1), x, { numOut: x.dim(1), kernel: 3, stride: 2, padAfter: 1 });
}

/**
 * Halves the frame rate: [B, C, T, H, W] -> [B, C, T/2, H, W] by a convolution over frames 2i-1, 2i and 2i+1 of the
 * video counted from its second frame. The first frame of a video passes unchanged: [B, C, 1 + 2n, …] -> [B, C, 1 + n, …].
 */
export function downsampleTime(scope: Scope, cache: FeatureCache, x: Value): Value {
  const timeConv = scope.in("time_conv");
  const weight = (): Value => timeConv.param("weight", [x.dim(1), x.dim(1), 3, 1, 1]);
  const bias = (): Value => timeConv.param("bias", [x.dim(1)]);
  const past = cache.extend(timeConv.path, x, 1);
  const strides = [2, 1, 1];
  if (cache.position === "next") return conv(past.x, weight(), bias(), { strides });
  const first = slice(x, 2, 0, 1);
  return x.dim(2) === 1 ? first : concat([first, conv(x, weight(), bias(), { strides })], 2);
}

/** Doubles rows and columns and halves the channels: [B, C, T, H, W] -> [B, C/2, T, 2H, 2W]. */
export function upsampleSpace(scope: Scope, x: Value): Value {
  const large = upsampleNearest(x, [1, 1, 1, 2, 2]);
  return frameConv(scope.in("resample").in(1), large, {
    numOut: x.dim(1) / 2,
    kernel: 3,
    padBefore: 1,
    padAfter: 1,
  });
}

/**
 * Doubles the frame rate: [B, C, T, H, W] -> [B, C, 2T, H, W]. The first frame of a video is not doubled and the
 * frames after it do not see it: their causal convolution starts from zeros.
 */
export function upsampleTime(scope: Scope, cache: FeatureCache, x: Value): Value {
  const timeConv = scope.in("time_conv");
  if (cache.position === "next") return doubleFrames(timeConv, cache, x);
  const first = slice(x, 2, 0, 1);
  if (x.dim(2) > 1) return concat([first, doubleFrames(timeConv, cache, slice(x, 2, 1))], 2);
  cache.extendByZeros(timeConv.path, x, 2);
  return first;
}

/** Of the 2C channels made, the first half is the even frame and the second half the odd one. */
function doubleFrames(timeConv: Scope, cache: FeatureCache, x: Value): Value {
  const channels = x.dim(1);
  const past = cache.extend(timeConv.path, x, 2);
  const weight = timeConv.param("weight", [2 * channels, channels, 3, 1, 1]);
  const pairs = conv(past.x, weight, timeConv.param("bias", [2 * channels]), {
    padsBefore: [past.numMissing, 0, 0],
  });
  return rearrange(pairs, "B (two C) T H W -> B C (T two) H W", { two: 2 });
}
