import { type WanVaeConfig } from "../models/wan-vae/config.ts";
import { type Random } from "../tensor/random.ts";
import { type Tensor } from "../tensor/tensor.ts";
import { alignedRows, keptShare, principalRows } from "./principal-components.ts";
import { type VaeInit, CONSTANT, SAMPLES_PER_CLIP } from "./vae-fit.ts";
import { OWN_TAP, channelOf, vaeLevels } from "./vae-layout.ts";

/** Number of components of the code by level: where frames enter it, and before its temporal convolution. */
export interface CodeSizes {
  readonly entering: readonly number[];
  readonly beforeTime: readonly number[];
}

/** Components of the final code that may describe motion; the others mean the same in a picture and in a video. */
const NUM_MOTION = 3;

/**
 * Principal components level by level: the strided convolutions turn 2x2 blocks of pixels, and then pairs of frames,
 * into as many of their components as there are channels. Means of blocks and pairs, not sums, so that the code of a
 * still clip equals that of a picture.
 */
export async function fitEncoder(config: WanVaeConfig, init: VaeInit): Promise<CodeSizes> {
  const { weights, log } = init;
  const levels = vaeLevels(config, "encoder");
  weights.carry("encoder.conv1", 3, OWN_TAP);
  setConstant(init, "encoder.conv1");
  let size = 3;
  const entering = [size];
  const beforeTime: number[] = [];
  for (let level = 0; level < levels.length - 1; level++) {
    const { block, resample, temporal, channels } = levels[level]!;
    if (weights.has(`${block}.shortcut`)) {
      weights.carry(`${block}.shortcut`, size, 0);
      setConstant(init, `${block}.shortcut`);
    }
    // The last norm and SiLU let a component through only beside its negative.
    const mirror = level === levels.length - 2 ? config.zDim : 0;
    const room = channels - mirror - 1;

    const space = `${resample}.resample.1`;
    const blocks = await init.moments(space, ({ input }, add) => sampleBlocks(input, size, init.random, add));
    const spaceRows = principalRows(blocks, Math.min(4 * size, room));
    writeRows(init, space, spaceRows, mirror, (i) => ({
      channel: i % size,
      tap: (Math.floor(i / size) >> 1) * 3 + (Math.floor(i / size) & 1),
      factor: 1 / 2,
    }));
    log(`${space}: ${4 * size} -> ${spaceRows.length}, kept ${percent(keptShare(blocks, spaceRows))}`);
    size = beforeTime[level] = spaceRows.length;

    if (temporal) {
      const time = `${resample}.time_conv`;
      const before = size;
      const pairs = await init.moments(time, ({ input }, add) =>
        samplePairs(input, before, mirror, init.random, add),
      );
      const numStatic = Math.min(before, mirror > 0 ? mirror - NUM_MOTION : Math.round(0.7 * room));
      const timeRows = alignedRows(pairs, numStatic, Math.min(2 * before, room));
      writeRows(init, time, timeRows, mirror, (i) => ({
        channel: channelOf(i % before, mirror),
        tap: 1 + Math.floor(i / before),
        factor: Math.SQRT1_2,
      }));
      log(`${time}: ${2 * before} -> ${timeRows.length}, kept ${percent(keptShare(pairs, timeRows))}`);
      size = timeRows.length;
    }
    entering.push(size);
  }
  return { entering, beforeTime };
}

/** Latents: the first components, without their mean, scaled to the root of their deviation; all together deviate by 1. */
export async function fitLatents(config: WanVaeConfig, init: VaeInit): Promise<void> {
  const { zDim } = config;
  const { weights } = init;
  weights.clear("encoder.head.2");
  weights.clear("conv1");
  for (let z = 0; z < zDim; z++) {
    weights.setTap("encoder.head.2", z, z, OWN_TAP, 1);
    weights.setTap("encoder.head.2", z, zDim + z, OWN_TAP, -1);
    weights.setTap("conv1", z, z, 0, 1);
  }
  const channels = await init.latentStatistics();
  const scales = channels.map(({ deviation }) => 1 / Math.sqrt(Math.max(deviation, 1e-6)));
  const total = Math.sqrt(scales.reduce((sum, s, z) => sum + (s * channels[z]!.deviation) ** 2, 0) / zDim);
  scales.forEach((scale, z) => {
    weights.setTap("conv1", z, z, 0, scale / total);
    weights.bias("conv1")[z] = (-channels[z]!.mean * scale) / total;
  });
}

function percent(share: number): string {
  return `${(100 * share).toFixed(2)} %`;
}

function setConstant({ weights }: VaeInit, layer: string): void {
  const bias = weights.bias(layer);
  bias[bias.length - 1] = CONSTANT;
}

/** Writes each row to the channel of its component, negated too if mirrored. `place` says what entry i multiplies. */
function writeRows(
  init: VaeInit,
  layer: string,
  rows: readonly Float64Array[],
  mirror: number,
  place: (i: number) => { readonly channel: number; readonly tap: number; readonly factor: number },
): void {
  init.weights.clear(layer);
  rows.forEach((row, component) => {
    row.forEach((x, i) => {
      const { channel, tap, factor } = place(i);
      init.weights.setTap(layer, channelOf(component, mirror), channel, tap, factor * x);
      if (component < mirror) init.weights.setTap(layer, mirror + component, channel, tap, -factor * x);
    });
  });
  setConstant(init, layer);
}

/** 2x2 blocks of the first `size` channels [1, C, T, H, W]: taps outer, channels inner. */
function sampleBlocks(
  { shape, data }: Tensor<"float32">,
  size: number,
  random: Random,
  add: (vector: Float64Array) => void,
): void {
  const [, , numFrames, height, width] = shape as [number, number, number, number, number];
  const vector = new Float64Array(4 * size);
  for (let n = 0; n < SAMPLES_PER_CLIP; n++) {
    const t = random.integer(numFrames);
    const [i, j] = [2 * random.integer(height / 2), 2 * random.integer(width / 2)];
    for (let k = 0; k < 4 * size; k++) {
      const tap = Math.floor(k / size);
      vector[k] = data[(((k % size) * numFrames + t) * height + i + (tap >> 1)) * width + j + (tap & 1)]!;
    }
    add(vector);
  }
}

/** Frames 2k+1 and 2k+2 of the first `size` components at one place: frames outer, components inner. */
function samplePairs(
  { shape, data }: Tensor<"float32">,
  size: number,
  mirror: number,
  random: Random,
  add: (vector: Float64Array) => void,
): void {
  const [, , numFrames, height, width] = shape as [number, number, number, number, number];
  const area = height * width;
  const vector = new Float64Array(2 * size);
  for (let n = 0; n < SAMPLES_PER_CLIP; n++) {
    const t = 1 + 2 * random.integer((numFrames - 1) / 2);
    const place = random.integer(area);
    for (let k = 0; k < 2 * size; k++) {
      const plane = channelOf(k % size, mirror) * numFrames + t + Math.floor(k / size);
      vector[k] = data[plane * area + place]!;
    }
    add(vector);
  }
}
