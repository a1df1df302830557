import { type WanVaeConfig } from "../models/wan-vae/config.ts";
import { invariant } from "../tensor/errors.ts";
import { type Tensor, sizeOf, zeros } from "../tensor/tensor.ts";
import { Moments, regression, unexplainedShare } from "./linear-algebra.ts";
import { type LayerFeatures } from "./vae-probe.ts";
import { type CodeSizes } from "./vae-init-encoder.ts";
import { CONSTANT, SAMPLES_PER_CLIP, type VaeInit } from "./vae-fit.ts";
import { type VaeLevel, channelOf, vaeLevels } from "./vae-layout.ts";

/** Part of the samples' power added to regressions. */
const RIDGE = 1e-5;

type Layers = ReadonlyMap<string, LayerFeatures>;

/** What one layer of the decoder should make. */
interface Aim {
  readonly layer: string;
  /** What the layer's outputs see: a causal kernel, three frames, or a doubled picture. */
  readonly sees: "causal" | "frames" | "doubled";
  /** Channels of the target, one per output, from output 0 on. */
  readonly channels: readonly number[];
  readonly target: (layers: Layers, video: Tensor<"float32">) => Tensor<"float32">;
  /** Behind the outputs: their negatives (for the last norm and SiLU), the constant, or nothing. */
  readonly behind: "negatives" | "constant" | "nothing";
}

/** Each layer between resolutions predicts the encoder's features of the same place, from what the layers before make. */
export async function fitDecoder(config: WanVaeConfig, init: VaeInit, sizes: CodeSizes): Promise<void> {
  const { weights } = init;
  const down = vaeLevels(config, "encoder");
  const up = vaeLevels(config, "decoder");
  const deepest = up.length - 1;
  const channelsOf = (count: number, level: number): number[] =>
    Array.from({ length: count }, (_, i) => channelOf(i, level === deepest ? config.zDim : 0));
  const entering = (level: number) => (layers: Layers) => enteringFeatures(layers, down[level - 1]!);

  weights.clear("conv2");
  for (let z = 0; z < config.zDim; z++) weights.setTap("conv2", z, z, 0, 1);
  let size = Math.min(sizes.entering[deepest]!, up[deepest]!.channels - 1);
  await regress(init, {
    layer: "decoder.conv1",
    sees: "causal",
    channels: channelsOf(size, deepest),
    target: entering(deepest),
    behind: "constant",
  });
  for (let level = deepest; level > 0; level--) {
    const { block, resample, temporal, channels } = up[level]!;
    carryShortcut(init, block, size);
    if (temporal) {
      size = Math.min(sizes.beforeTime[level - 1]!, channels - 1);
      await regress(init, {
        layer: `${resample}.time_conv`,
        sees: "frames",
        channels: channelsOf(size, level),
        target: (layers) => layers.get(`${down[level - 1]!.resample}.resample.1`)!.output,
        behind: "constant",
      });
    }
    const next = level - 1;
    size = next === 0 ? 3 : Math.min(sizes.entering[next]!, channels / 2 - 1);
    await regress(init, {
      layer: `${resample}.resample.1`,
      sees: "doubled",
      channels: channelsOf(size, next),
      target: next === 0 ? (_layers, video) => video : entering(next),
      behind: next === 0 ? "negatives" : "constant",
    });
  }
  carryShortcut(init, up[0]!.block, 6);
  await regress(init, {
    layer: "decoder.head.2",
    sees: "causal",
    channels: [0, 1, 2],
    target: (_layers, video) => video,
    behind: "nothing",
  });
}

function carryShortcut({ weights }: VaeInit, block: string, numChannels: number): void {
  const layer = `${block}.shortcut`;
  if (!weights.has(layer)) return;
  weights.carry(layer, numChannels, 0);
  const bias = weights.bias(layer);
  bias[bias.length - 1] = CONSTANT;
}

/** Features as a level gets them: the first frame passes by the temporal convolution. */
function enteringFeatures(layers: Layers, above: VaeLevel): Tensor<"float32"> {
  const space = layers.get(`${above.resample}.resample.1`)!.output;
  if (!above.temporal) return space;
  const time = layers.get(`${above.resample}.time_conv`)!.output;
  const [, channels, numRest, height, width] = time.shape as [number, number, number, number, number];
  const area = height * width;
  const numFrames = numRest + 1;
  const joined = zeros([1, channels, numFrames, height, width]);
  for (let c = 0; c < channels; c++) {
    const from = c * space.shape[2]! * area;
    joined.data.set(space.data.subarray(from, from + area), c * numFrames * area);
    const rest = time.data.subarray(c * numRest * area, (c + 1) * numRest * area);
    joined.data.set(rest, (c * numFrames + 1) * area);
  }
  return joined;
}

/** Sets a layer's weights to the best linear prediction of its aim. */
async function regress(init: VaeInit, { layer, sees, channels, target, behind }: Aim): Promise<void> {
  const { weights, random, log } = init;
  const { shape } = weights.weight(layer);
  const [numOut, numIn] = [shape[0]!, shape[1]!];
  const taps = sizeOf(shape.slice(2));
  // A layer that doubles the frame rate makes the even frame with its first half of outputs, the odd with the other.
  const frames = sees === "frames" ? [1, 2] : [0];
  const rate = frames.length;
  const numInputs = numIn * taps + 1;
  const moments = new Moments(numInputs + rate * channels.length);
  const vector = new Float64Array(moments.size);
  vector[numInputs - 1] = 1;
  await init.eachClip((layers, video) => {
    const { input } = layers.get(layer)!;
    const wanted = target(layers, video);
    const [height, width] = [wanted.shape[3]!, wanted.shape[4]!];
    for (let n = 0; n < SAMPLES_PER_CLIP; n++) {
      const t = random.integer(input.shape[2]!);
      const [i, j] = [random.integer(height), random.integer(width)];
      readTaps(input, sees, taps, [t, i, j], vector);
      frames.forEach((frame, f) =>
        channels.forEach((channel, k) => {
          vector[numInputs + f * channels.length + k] = pixelAt(wanted, channel, rate * t + frame, i, j);
        }),
      );
      moments.add(vector);
    }
  });

  const rows = regression(moments, rate * channels.length, RIDGE);
  weights.clear(layer);
  const bias = weights.bias(layer);
  const write = (row: Float64Array, out: number, sign: 1 | -1): void => {
    for (let k = 0; k < numInputs - 1; k++) {
      weights.setTap(layer, out, k % numIn, Math.floor(k / numIn), sign * row[k]!);
    }
    bias[out] = sign * row[numInputs - 1]!;
  };
  rows.forEach((row, k) => {
    const out = (k % channels.length) + Math.floor(k / channels.length) * (numOut / rate);
    write(row, out, 1);
    if (behind === "negatives") write(row, channels.length + out, -1);
  });
  if (behind !== "nothing") frames.forEach((_, f) => (bias[((f + 1) * numOut) / rate - 1] = CONSTANT));
  log(
    `${layer}: ${numInputs} -> ${rows.length}, unexplained ${(100 * unexplainedShare(moments, rows)).toFixed(2)} %`,
  );
}

function pixelAt(
  { shape, data }: Tensor<"float32">,
  channel: number,
  t: number,
  i: number,
  j: number,
): number {
  const [, channels, numFrames, height, width] = shape as [number, number, number, number, number];
  invariant(channel < channels && t < numFrames, `no channel ${channel} or frame ${t} in the features`);
  return data[((channel * numFrames + t) * height + i) * width + j]!;
}

/** What the output at (t, i, j) of a layer sees of its input, zeros outside: taps outer, channels inner. */
function readTaps(
  x: Tensor<"float32">,
  sees: Aim["sees"],
  taps: number,
  [t, i, j]: readonly [number, number, number],
  vector: Float64Array,
): void {
  const [, channels, , height, width] = x.shape as [number, number, number, number, number];
  for (let tap = 0; tap < taps; tap++) {
    let [u, v, w] = [t, i, j];
    if (sees === "frames") u = t + tap - 2;
    else {
      [v, w] = [i + (Math.floor(tap / 3) % 3) - 1, j + (tap % 3) - 1];
      if (sees === "causal") u = t + Math.floor(tap / 9) - 2;
      else [v, w] = [Math.floor(v / 2), Math.floor(w / 2)];
    }
    const inside = u >= 0 && v >= 0 && v < height && w >= 0 && w < width;
    for (let c = 0; c < channels; c++) vector[tap * channels + c] = inside ? pixelAt(x, c, u, v, w) : 0;
  }
}
