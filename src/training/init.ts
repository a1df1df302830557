import { type Umt5Config } from "../models/umt5/config.ts";
import { invariant } from "../tensor/errors.ts";
import { type Random } from "../tensor/random.ts";
import { type Tensor, float32, sizeOf } from "../tensor/tensor.ts";

/** First values of a parameter. */
export type Initializer = (shape: readonly number[], random: Random) => Float32Array;

/** Which initialiser a parameter gets: that of the first pattern that matches its key inside its model. */
export type InitTable = readonly (readonly [pattern: RegExp, initializer: Initializer])[];

const zeros: Initializer = (shape) => new Float32Array(sizeOf(shape));

const normal =
  (deviation: number): Initializer =>
  (shape, random) =>
    random.normals(sizeOf(shape)).map((x) => x * deviation);

/** Normal with variance gain² / inputs of one output, for weights [out, in, …kernel]. */
const fanIn =
  (gain = 1): Initializer =>
  (shape, random) =>
    normal(gain / Math.sqrt(sizeOf(shape.slice(1))))(shape, random);

/** Normal with variance 1 / last axis, for vectors that are added to tokens of that width. */
const perWidth: Initializer = (shape, random) => normal(1 / Math.sqrt(shape.at(-1)!))(shape, random);

/** A vector is the scale of a norm and starts with ones; matrices and kernels keep the variance of what passes. */
const weight: Initializer = (shape, random) =>
  shape.length === 1 ? new Float32Array(sizeOf(shape)).fill(1) : fanIn()(shape, random);

const WEIGHTS_AND_BIASES: InitTable = [
  [/bias$/, zeros],
  [/weight$/, weight],
];

/**
 * The denoiser, and its LoRA pairs: what adds to a working model starts at zero, as published. The head does too, so
 * that training starts from velocity 0.
 */
export const WAN_DIT_INIT: InitTable = [
  [/lora_B\.weight$/, zeros],
  [/lora_A\.weight$/, fanIn(Math.sqrt(1 / 3))],
  [/^head\.head\./, zeros],
  [/^hand_patch_embedding\.1\./, zeros],
  [/modulation$/, perWidth],
  [/^(text|time)_embedding\.\d\.weight$/, normal(0.02)],
  ...WEIGHTS_AND_BIASES,
];

/**
 * The text encoder. Queries are small because T5 does not scale logits. Position biases are larger than published, so
 * that heads tell neighbours from far words, and words know their neighbours, in an encoder that is never trained.
 */
export function umt5Init({ attentionDim, numHeads }: Umt5Config): InitTable {
  return [
    [/^token_embedding\.weight$/, normal(1)],
    [/attn\.q\.weight$/, fanIn(Math.sqrt(numHeads / attentionDim))],
    [/pos_embedding\.embedding\.weight$/, normal(1)],
    ...WEIGHTS_AND_BIASES,
  ];
}

/** The vision tower, its keys without their prefix. */
export const CLIP_VISION_INIT: InitTable = [[/^(cls|pos)_embedding$/, perWidth], ...WEIGHTS_AND_BIASES];

/**
 * First values of parameters. Each depends on its key, its shape and the seed of `random` alone, so another parameter
 * more moves none.
 * @param shapes by key
 * @param tables by what the keys of a model start with, e.g. `dit.`
 */
export function initialize(
  shapes: ReadonlyMap<string, readonly number[]>,
  tables: Readonly<Record<string, InitTable>>,
  random: Random,
): Record<string, Tensor<"float32">> {
  const params: Record<string, Tensor<"float32">> = {};
  for (const [key, shape] of shapes) {
    const initializer = initializerOf(key, tables);
    params[key] = float32(initializer(shape, random.fork(key)), shape);
  }
  return params;
}

function initializerOf(key: string, tables: Readonly<Record<string, InitTable>>): Initializer {
  const prefix = Object.keys(tables).find((start) => key.startsWith(start));
  invariant(prefix !== undefined, `${key} is in none of the models ${Object.keys(tables).join(", ")}`);
  const rule = tables[prefix]!.find(([pattern]) => pattern.test(key.slice(prefix.length)));
  invariant(rule, `nothing says how ${key} starts`);
  return rule[1];
}
