// Shapes: B batch, C channels, T frames, H rows, W columns of the layer's input

import { type Tensor, zeros } from "../../tensor/tensor.ts";
import {
  type Scope,
  type Value,
  concat,
  conv,
  matmul,
  rearrange,
  reshape,
  slice,
  sliceAxes,
  split,
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

/**
 * Nearest-neighbour doubling of rows and columns, then a 3x3 convolution that halves the channels:
 * [B, C, T, H, W] -> [B, C/2, T, 2H, 2W].
 *
 * Three neighbours of a doubled picture hold only two different pixels of the small one, so each of the four output
 * parities is a 2x2 convolution of the small picture with sums of taps: 16 products per small pixel instead of 36.
 * All four are one convolution with four times the channels, at every corner between small pixels.
 */
export function upsampleSpace(scope: Scope, x: Value): Value {
  const [channels, height, width] = [x.dim(1), x.dim(3), x.dim(4)];
  const conv3x3 = scope.in("resample").in(1);
  const weight = conv3x3.param("weight", [channels / 2, channels, 3, 3]);
  const bias = conv3x3.param("bias", [channels / 2]);
  const taps = matmul(reshape(weight, [-1, 9]), weight.graph.constant(PARITY_TAPS));
  const kernels = rearrange(taps, "(Cout Cin) (parity i j) -> (parity Cout) Cin 1 i j", {
    Cin: channels,
    parity: 4,
    i: 2,
    j: 2,
  });
  const border = [0, 1, 1];
  const corners = conv(x, kernels, concat([bias, bias, bias, bias], 0), {
    padsBefore: border,
    padsAfter: border,
  });
  const parities = split(corners, 1, new Array<number>(4).fill(channels / 2)).map((parity, i) =>
    sliceAxes(parity, [
      { axis: 3, start: i >> 1, end: (i >> 1) + height },
      { axis: 4, start: i & 1, end: (i & 1) + width },
    ]),
  );
  const [even, odd] = [interleave(parities[0]!, parities[1]!, 1), interleave(parities[2]!, parities[3]!, 1)];
  return reshape(interleave(even, odd, 2 * width), [x.dim(0), channels / 2, x.dim(2), 2 * height, 2 * width]);
}

/** Runs of `length` elements taken from `a` and `b` in turn: [-1, 2 · length]. A transpose of seven axes is slower. */
function interleave(a: Value, b: Value, length: number): Value {
  return concat([reshape(a, [-1, length]), reshape(b, [-1, length])], 1);
}

/**
 * Matrix [9, 4 · 4]: which of the 3x3 taps fall on which pixel of the 2x2 window of each output parity. Along one axis
 * an even output sees (tap 0 | taps 1, 2), an odd one (taps 0, 1 | tap 2).
 */
const PARITY_TAPS = parityTaps();

function parityTaps(): Tensor<"float32"> {
  const matrix = zeros([9, 16]);
  for (let row = 0; row < 3; row++) {
    for (let column = 0; column < 3; column++) {
      for (let parity = 0; parity < 4; parity++) {
        const i = pixelOf(row, parity >> 1);
        const j = pixelOf(column, parity & 1);
        matrix.data[(row * 3 + column) * 16 + parity * 4 + i * 2 + j] = 1;
      }
    }
  }
  return matrix;
}

function pixelOf(tap: number, parity: number): number {
  return tap > parity ? 1 : 0;
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
