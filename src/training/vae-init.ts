// A trained-like start for a small VAE: its convolutions between resolutions carry a linear code of the video, and
// every residual branch and attention starts as zero. Encoder: principal components, level by level. Decoder: each
// layer predicts the encoder's features of the same level by linear regression.

import { type WanVaeConfig } from "../models/wan-vae/config.ts";
import { buildVaeDecoder, buildVaeEncoder } from "../models/wan-vae/model.ts";
import { Random } from "../tensor/random.ts";
import { invariant } from "../tensor/errors.ts";
import { type Tensor, sizeOf, zeros } from "../tensor/tensor.ts";
import { Moments, regression, symmetricEigenvectors } from "./linear-algebra.ts";
import { VaeProbe, type LayerFeatures } from "./vae-features.ts";

type Weights = Record<string, Tensor<"float32">>;

/**
 * A channel that is constant everywhere keeps the channel norms from dividing by the picture's contrast: beside it,
 * norm and SiLU let a pair (x, -x) through as a linear function.
 */
const CONSTANT = 5;

/** Part of the samples' power added to regressions. */
const RIDGE = 1e-5;

/** Vectors drawn per clip and layer. */
const SAMPLES_PER_CLIP = 600;

/** He initialisation, unit norms, and zeros at the end of every residual branch. */
export function randomVaeWeights(config: WanVaeConfig, seed: number): Weights {
  const chunk = { position: "start", numLatentFrames: 2, latentHeight: 2, latentWidth: 2 } as const;
  const weights: Weights = {};
  for (const graph of [buildVaeEncoder(config, chunk), buildVaeDecoder(config, chunk)]) {
    for (const [key, { shape }] of graph.params)
      weights[key] = initialValue(key, shape, new Random(seed).fork(key));
  }
  return weights;
}

function initialValue(key: string, shape: readonly number[], random: Random): Tensor<"float32"> {
  const value = zeros(shape);
  if (key.endsWith(".gamma")) value.data.fill(1);
  const endsBranch = key.includes(".residual.6.") || key.includes(".proj.");
  if (!key.endsWith(".weight") || endsBranch) return value;
  const deviation = Math.sqrt(2 / sizeOf(shape.slice(1)));
  return { ...value, data: random.normals(value.data.length).map((x) => x * deviation) };
}

/** Where the layers of a VAE lie. */
interface Level {
  readonly factor: number;
  readonly temporal: boolean;
  readonly channels: number;
  /** Scope paths. */
  readonly block: string;
  readonly resample: string;
}

function levelsOf(config: WanVaeConfig, side: "encoder" | "decoder"): Level[] {
  const { dim, dimMult, numResBlocks } = config[side];
  const stages = side === "encoder" ? "downsamples" : "upsamples";
  const stride = numResBlocks + (side === "encoder" ? 1 : 2);
  return dimMult.map((factor, level) => {
    const order = side === "encoder" ? level : dimMult.length - 1 - level;
    return {
      factor,
      temporal: config.temporalDownsample[side === "encoder" ? level : level - 1] ?? false,
      channels: dim * factor,
      block: `${side}.${stages}.${order * stride}`,
      resample: `${side}.${stages}.${order * stride + stride - 1}`,
    };
  });
}

/**
 * Weights for training to start from, computed from clips [1, 3, T, H, W] in -1..1, all of one shape, which should
 * show what will be encoded: pictures, skeletons, hand normals.
 */
export async function initialVaeWeights(
  config: WanVaeConfig,
  clips: readonly Tensor<"float32">[],
  seed: number,
  log: (line: string) => void = () => {},
): Promise<Weights> {
  const first = clips[0];
  invariant(first, "no clips to initialise from");
  const weights = randomVaeWeights(config, seed);
  const down = levelsOf(config, "encoder");
  const up = levelsOf(config, "decoder");
  const layers = [...down.slice(0, -1), ...up.slice(1)].flatMap(({ resample, temporal }) => [
    `${resample}.resample.1`,
    ...(temporal ? [`${resample}.time_conv`] : []),
  ]);
  const heads = ["encoder.head.2", "decoder.conv1", "decoder.head.2"];
  const probe = await VaeProbe.open(config, first.shape, [...layers, ...heads]);
  const fitter = new Fitter(config, weights, probe, clips, new Random(seed).fork("samples"));
  fitter.muteConstants();
  const sizes = await fitter.fitEncoder(down, log);
  await fitter.fitLatents(log);
  await fitter.fitDecoder(down, up, sizes, log);
  await probe.release();
  return weights;
}

/** Number of channels with code: of each level's frames when they enter it, and before its temporal convolution. */
interface CodeSizes {
  readonly entering: readonly number[];
  readonly beforeTime: readonly number[];
}

class Fitter {
  constructor(
    private readonly config: WanVaeConfig,
    private readonly weights: Weights,
    private readonly probe: VaeProbe,
    private readonly clips: readonly Tensor<"float32">[],
    private readonly random: Random,
  ) {}

  async fitEncoder(levels: readonly Level[], log: (line: string) => void): Promise<CodeSizes> {
    const { zDim } = this.config;
    this.carry("encoder.conv1", 3, this.config.encoder.dim);
    this.addConstant("encoder.conv1");
    let size = 3;
    const entering = [3];
    const beforeTime: number[] = [];
    for (let level = 0; level < levels.length - 1; level++) {
      const { block, resample, channels, temporal } = levels[level]!;
      if (this.weights[`${block}.shortcut.weight`]) this.carryBlock(block, size);
      const last = level === levels.length - 2;
      const space = `${resample}.resample.1`;
      const available = last ? channels - zDim - 1 : channels - 1;
      const spatial = await this.moments(space, (features, add) =>
        this.spatialBlocks(features.input, size, add),
      );
      const spaceSize = Math.min(4 * size, available);
      const rows = principalRows(spatial, spaceSize);
      this.clear(space);
      this.writeCode(space, rows, last ? zDim : 0, channels, (row, out, sign) => {
        row.forEach((x, i) => {
          const [tap, channel] = [Math.floor(i / size), i % size];
          this.setTap(space, out, channel, (tap >> 1) * 3 + (tap & 1), (sign * x) / 2);
        });
      });
      log(`${space}: ${4 * size} -> ${spaceSize}, kept ${keptShare(spatial, rows)}`);
      size = spaceSize;
      beforeTime[level] = size;
      if (temporal) {
        const time = `${resample}.time_conv`;
        const before = size;
        const pairs = await this.moments(time, (features, add) =>
          this.framePairs(features.input, before, last ? zDim : 0, add),
        );
        // Static components keep their channel, so that a still clip and a single picture get the same code.
        const numStatic = last ? zDim - 3 : Math.round(0.7 * available);
        size = Math.min(2 * before, available);
        const timeRows = alignedRows(pairs, before, Math.min(numStatic, before), size);
        this.clear(time);
        this.writeCode(time, timeRows, last ? zDim : 0, channels, (row, out, sign) => {
          row.forEach((x, i) => {
            const channel = this.channelOf(i % before, last ? zDim : 0);
            this.setTap(time, out, channel, 1 + Math.floor(i / before), (sign * x) / Math.SQRT2);
          });
        });
        log(
          `${time}: ${2 * before} -> ${size}, kept ${keptShare(pairs, timeRows)}, ` +
            `by ${zDim} ${keptShare(pairs, timeRows.slice(0, zDim))}`,
        );
      }
      entering.push(size);
    }
    return { entering, beforeTime };
  }

  /** Latents: the first components, without their mean, the square root of their deviations, all together 1. */
  async fitLatents(log: (line: string) => void): Promise<void> {
    const { zDim } = this.config;
    const head = "encoder.head.2";
    this.clear(head);
    const centre = 2 * 9 + 4;
    for (let z = 0; z < zDim; z++) {
      this.setTap(head, z, z, centre, 1);
      this.setTap(head, z, zDim + z, centre, -1);
    }
    const conv1 = this.weights["conv1.weight"]!;
    conv1.data.fill(0);
    this.weights["conv1.bias"]!.data.fill(0);
    for (let z = 0; z < 2 * zDim; z++) conv1.data[z * 2 * zDim + z] = 1;
    const { mean, deviation } = await this.latentStatistics();
    const scales = deviation.map((x) => 1 / Math.sqrt(Math.max(x, 1e-6)));
    const global = Math.sqrt(scales.reduce((sum, s, z) => sum + (s * deviation[z]!) ** 2, 0) / zDim);
    scales.forEach((scale, z) => {
      conv1.data[z * 2 * zDim + z] = scale / global;
      this.weights["conv1.bias"]!.data[z] = (-mean[z]! * scale) / global;
    });
    log(`latent deviations ${scales.map((s, z) => ((s * deviation[z]!) / global).toFixed(2)).join(" ")}`);
  }

  async fitDecoder(
    down: readonly Level[],
    up: readonly Level[],
    sizes: CodeSizes,
    log: (line: string) => void,
  ): Promise<void> {
    const { zDim } = this.config;
    const conv2 = this.weights["conv2.weight"]!;
    conv2.data.fill(0);
    for (let z = 0; z < zDim; z++) conv2.data[z * zDim + z] = 1;
    const deepest = up.length - 1;
    const levelTarget =
      (level: number) => (layers: ReadonlyMap<string, LayerFeatures>, video: Tensor<"float32">) =>
        level === 0 ? video : enteringFeatures(layers, down[level - 1]!);
    const channelsAt = (level: number) =>
      this.codeChannels(sizes.entering[level]!, level === deepest ? zDim : 0);
    let size = Math.min(sizes.entering[deepest]!, up[deepest]!.channels - 1);
    await this.regress(
      "decoder.conv1",
      { kind: "causal" },
      channelsAt(deepest).slice(0, size),
      levelTarget(deepest),
      log,
    );
    for (let level = deepest; level >= 0; level--) {
      const { block, resample, temporal } = up[level]!;
      if (level < deepest && this.weights[`${block}.shortcut.weight`]) this.carryBlock(block, size);
      if (level === 0) break;
      if (temporal) {
        const numCode = sizes.beforeTime[level - 1]!;
        const channels = this.codeChannels(numCode, level === deepest ? zDim : 0);
        size = Math.min(numCode, up[level]!.channels - 1);
        const target = (layers: ReadonlyMap<string, LayerFeatures>): Tensor<"float32"> =>
          layers.get(`${down[level - 1]!.resample}.resample.1`)!.output;
        await this.regress(`${resample}.time_conv`, { kind: "frames" }, channels.slice(0, size), target, log);
      }
      const next = level - 1;
      const numOut = up[level]!.channels / 2;
      if (next === 0) {
        await this.regress(`${resample}.resample.1`, { kind: "rows" }, [0, 1, 2], levelTarget(0), log, true);
        size = 6;
      } else {
        size = Math.min(sizes.entering[next]!, numOut - 1);
        await this.regress(
          `${resample}.resample.1`,
          { kind: "rows" },
          channelsAt(next).slice(0, size),
          levelTarget(next),
          log,
        );
      }
    }
    await this.regress("decoder.head.2", { kind: "causal" }, [0, 1, 2], levelTarget(0), log, false, true);
  }

  /**
   * The constant serves the norms alone: behind them it would be one more bias, many times as strong as the true one,
   * and every step of training would shake the layer by it.
   */
  muteConstants(): void {
    for (const [key, { data }] of Object.entries(this.weights)) {
      if (/\.(residual\.0|norm|head\.0)\.gamma$/.test(key)) data[data.length - 1] = 0;
    }
  }

  async latentStatistics(): Promise<{ mean: number[]; deviation: number[] }> {
    const { zDim } = this.config;
    const sums = new Float64Array(zDim);
    const squares = new Float64Array(zDim);
    let count = 0;
    for (const clip of this.clips) {
      const { mu } = await this.probe.run(this.weights, clip);
      const area = mu.data.length / zDim;
      count += area;
      for (let i = 0; i < mu.data.length; i++) {
        const z = Math.floor(i / area);
        sums[z]! += mu.data[i]!;
        squares[z]! += mu.data[i]! ** 2;
      }
    }
    const mean = Array.from(sums, (sum) => sum / count);
    return {
      mean,
      deviation: Array.from(squares, (square, z) => Math.sqrt(Math.max(0, square / count - mean[z]! ** 2))),
    };
  }

  /** Channels of `size` components of the code; a mirrored code has the negatives of its first `mirror` behind them. */
  private codeChannels(size: number, mirror: number): number[] {
    return Array.from({ length: size }, (_, i) => this.channelOf(i, mirror));
  }

  private channelOf(component: number, mirror: number): number {
    return component < mirror ? component : component + mirror;
  }

  /** Writes rows of components to their channels, the first `mirror` also negated, and the constant to the last one. */
  private writeCode(
    layer: string,
    rows: readonly Float64Array[],
    mirror: number,
    numChannels: number,
    write: (row: Float64Array, out: number, sign: number) => void,
  ): void {
    rows.forEach((row, i) => {
      write(row, this.channelOf(i, mirror), 1);
      if (i < mirror) write(row, mirror + i, -1);
    });
    this.weights[`${layer}.bias`]!.data[numChannels - 1] = CONSTANT;
  }

  private clear(layer: string): void {
    this.weights[`${layer}.weight`]!.data.fill(0);
    this.weights[`${layer}.bias`]!.data.fill(0);
  }

  private addConstant(layer: string): void {
    const bias = this.weights[`${layer}.bias`]!.data;
    bias[bias.length - 1] = CONSTANT;
  }

  /** Weight of one tap; taps count row-major over the kernel. */
  private setTap(layer: string, out: number, channel: number, tap: number, x: number): void {
    const { shape, data } = this.weights[`${layer}.weight`]!;
    const taps = sizeOf(shape.slice(2));
    data[(out * shape[1]! + channel) * taps + tap] = x;
  }

  /** A 3x3x3 convolution that hands its first channels on. */
  private carry(layer: string, numChannels: number, _numOut: number): void {
    this.clear(layer);
    for (let c = 0; c < numChannels; c++) this.setTap(layer, c, c, 2 * 9 + 4, 1);
  }

  /** A shortcut that hands its first channels on and puts the constant last. */
  private carryBlock(block: string, numChannels: number): void {
    const layer = `${block}.shortcut`;
    this.clear(layer);
    for (let c = 0; c < numChannels; c++) this.setTap(layer, c, c, 0, 1);
    this.addConstant(layer);
  }

  private async moments(
    layer: string,
    sample: (features: LayerFeatures, add: (vector: Float64Array) => void) => void,
  ): Promise<Moments> {
    let moments: Moments | undefined;
    for (const clip of this.clips) {
      const { layers } = await this.probe.run(this.weights, clip);
      sample(layers.get(layer)!, (vector) => {
        moments ??= new Moments(vector.length);
        moments.add(vector);
      });
    }
    invariant(moments, `no samples of ${layer}`);
    return moments;
  }

  /** 2x2 blocks of all frames: taps outer, channels inner. */
  private spatialBlocks(x: Tensor<"float32">, size: number, add: (vector: Float64Array) => void): void {
    const [, , numFrames, height, width] = x.shape as [number, number, number, number, number];
    const vector = new Float64Array(4 * size);
    for (let n = 0; n < SAMPLES_PER_CLIP; n++) {
      const t = this.random.integer(numFrames);
      const [i, j] = [2 * this.random.integer(height / 2), 2 * this.random.integer(width / 2)];
      for (let tap = 0; tap < 4; tap++) {
        for (let c = 0; c < size; c++) {
          vector[tap * size + c] =
            x.data[((c * numFrames + t) * height + i + (tap >> 1)) * width + j + (tap & 1)]!;
        }
      }
      add(vector);
    }
  }

  /** Frames 2k+1 and 2k+2 at one place: frames outer, components inner. */
  private framePairs(
    x: Tensor<"float32">,
    size: number,
    mirror: number,
    add: (vector: Float64Array) => void,
  ): void {
    const [, , numFrames, height, width] = x.shape as [number, number, number, number, number];
    const area = height * width;
    const vector = new Float64Array(2 * size);
    for (let n = 0; n < SAMPLES_PER_CLIP; n++) {
      const t = 1 + 2 * this.random.integer((numFrames - 1) / 2);
      const at = this.random.integer(area);
      for (let i = 0; i < 2 * size; i++) {
        const channel = this.channelOf(i % size, mirror);
        vector[i] = x.data[(channel * numFrames + t + Math.floor(i / size)) * area + at]!;
      }
      add(vector);
    }
  }

  /** Sets a layer's weights to the best linear prediction of the target's channels from the layer's input. */
  private async regress(
    layer: string,
    form: { readonly kind: "causal" | "frames" | "rows" },
    channels: readonly number[],
    target: (layers: ReadonlyMap<string, LayerFeatures>, video: Tensor<"float32">) => Tensor<"float32">,
    log: (line: string) => void,
    mirrored = false,
    plain = false,
  ): Promise<void> {
    const weight = this.weights[`${layer}.weight`]!;
    const numIn = weight.shape[1]!;
    const taps = sizeOf(weight.shape.slice(2));
    const numTargets = channels.length * (form.kind === "frames" ? 2 : 1);
    const numInputs = numIn * taps + 1;
    const moments = new Moments(numInputs + numTargets);
    const vector = new Float64Array(numInputs + numTargets);
    for (const clip of this.clips) {
      const { layers } = await this.probe.run(this.weights, clip);
      const { input } = layers.get(layer)!;
      const wanted = target(layers, clip);
      const [, wantedChannels, , height, width] = wanted.shape as [number, number, number, number, number];
      invariant(wantedChannels > Math.max(...channels), `${layer} has too few target channels`);
      for (let n = 0; n < SAMPLES_PER_CLIP; n++) {
        const t = this.random.integer(input.shape[2]!);
        const [i, j] = [this.random.integer(height), this.random.integer(width)];
        readTaps(input, form.kind, taps, t, i, j, vector);
        vector[numInputs - 1] = 1;
        channels.forEach((channel, k) => {
          if (form.kind === "frames") {
            vector[numInputs + k] = at(wanted, channel, 1 + 2 * t, i, j);
            vector[numInputs + channels.length + k] = at(wanted, channel, 2 + 2 * t, i, j);
          } else vector[numInputs + k] = at(wanted, channel, t, i, j);
        });
        moments.add(vector);
      }
    }
    const rows = regression(moments, numTargets, RIDGE);
    this.clear(layer);
    const bias = this.weights[`${layer}.bias`]!.data;
    const half = weight.shape[0]! / 2;
    const write = (row: Float64Array, out: number, sign: number): void => {
      for (let tap = 0; tap < taps; tap++) {
        for (let c = 0; c < numIn; c++) this.setTap(layer, out, c, tap, sign * row[tap * numIn + c]!);
      }
      bias[out] = sign * row[numInputs - 1]!;
    };
    rows.forEach((row, k) => {
      const out = k < channels.length ? k : half + k - channels.length;
      write(row, out, 1);
      if (mirrored) write(row, channels.length + out, -1);
    });
    if (!plain) bias[bias.length - 1] = CONSTANT;
    if (form.kind === "frames") bias[half - 1] = CONSTANT;
    log(`${layer}: ${numInputs} -> ${numTargets}, unexplained ${unexplained(moments, rows, numInputs)}`);
  }
}

/** Features as a level gets them: the first frame passes by the temporal convolution. */
function enteringFeatures(layers: ReadonlyMap<string, LayerFeatures>, above: Level): Tensor<"float32"> {
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
    joined.data.set(
      time.data.subarray(c * numRest * area, (c + 1) * numRest * area),
      (c * numFrames + 1) * area,
    );
  }
  return joined;
}

function at(x: Tensor<"float32">, channel: number, t: number, i: number, j: number): number {
  const [, , numFrames, height, width] = x.shape as [number, number, number, number, number];
  return x.data[((channel * numFrames + t) * height + i) * width + j]!;
}

/** What an output at (t, i, j) of a layer sees of its input, zeros outside: taps outer, channels inner. */
function readTaps(
  x: Tensor<"float32">,
  kind: "causal" | "frames" | "rows",
  taps: number,
  t: number,
  i: number,
  j: number,
  vector: Float64Array,
): void {
  const [, channels, , height, width] = x.shape as [number, number, number, number, number];
  for (let tap = 0; tap < taps; tap++) {
    let [u, v, w] = [t, i, j];
    if (kind === "frames") u = t + tap - 2;
    else {
      [v, w] = [i + (Math.floor(tap / 3) % 3) - 1, j + (tap % 3) - 1];
      if (kind === "causal") u = t + Math.floor(tap / 9) - 2;
      // The input is doubled before the convolution.
      else [v, w] = [Math.floor(v / 2), Math.floor(w / 2)];
    }
    const inside = u >= 0 && v >= 0 && v < height && w >= 0 && w < width;
    for (let c = 0; c < channels; c++) vector[tap * channels + c] = inside ? at(x, c, u, v, w) : 0;
  }
}

function principalRows(moments: Moments, count: number): Float64Array[] {
  const n = moments.size;
  const matrix = Float64Array.from(
    { length: n * n },
    (_, k) => moments.at(Math.floor(k / n), k % n) / moments.count,
  );
  return symmetricEigenvectors(matrix, n).rows.slice(0, count);
}

/**
 * `count` orthonormal rows over pairs of frames [first | second]: row k < numStatic is the mean of component k, the
 * others are the principal components of what those leave.
 */
function alignedRows(moments: Moments, size: number, numStatic: number, count: number): Float64Array[] {
  const n = moments.size;
  const rows = Array.from({ length: numStatic }, (_, k) => {
    const row = new Float64Array(n);
    row[k] = row[size + k] = Math.SQRT1_2;
    return row;
  });
  const matrix = Float64Array.from(
    { length: n * n },
    (_, k) => moments.at(Math.floor(k / n), k % n) / moments.count,
  );
  // Projecting out mean k from the covariance: both of its rows and columns lose their common part.
  for (const row of rows) projectOut(matrix, n, row);
  return [...rows, ...symmetricEigenvectors(matrix, n).rows.slice(0, count - numStatic)];
}

/** A <- (1 - r rᵀ) A (1 - r rᵀ) for a unit vector r. */
function projectOut(a: Float64Array, n: number, r: Float64Array): void {
  const ar = new Float64Array(n);
  for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) ar[i]! += a[i * n + j]! * r[j]!;
  const rar = ar.reduce((sum, x, i) => sum + x * r[i]!, 0);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < n; j++) {
      a[i * n + j]! += rar * r[i]! * r[j]! - ar[i]! * r[j]! - r[i]! * ar[j]!;
    }
  }
}

/** Share of the power in the span of orthonormal rows. */
function keptShare(moments: Moments, rows: readonly Float64Array[]): string {
  const n = moments.size;
  let kept = 0;
  let all = 0;
  for (let i = 0; i < n; i++) {
    all += moments.at(i, i);
    for (const row of rows) for (let j = 0; j < n; j++) kept += row[i]! * row[j]! * moments.at(i, j);
  }
  return `${((100 * kept) / all).toFixed(2)} %`;
}

function unexplained(moments: Moments, rows: readonly Float64Array[], numInputs: number): string {
  let power = 0;
  let error = 0;
  rows.forEach((row, o) => {
    const yy = moments.at(numInputs + o, numInputs + o);
    power += yy;
    error += yy;
    row.forEach((x, i) => (error -= x * moments.at(i, numInputs + o)));
  });
  return `${((100 * error) / power).toFixed(2)} %`;
}
