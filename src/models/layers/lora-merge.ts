import { UserError } from "../../tensor/errors.ts";
import { toFloat32 } from "../../tensor/float16.ts";
import { type Tensor, float32 } from "../../tensor/tensor.ts";
import { readLoraNames } from "./lora-naming.ts";

type Weights = ReadonlyMap<string, Tensor<"float32">>;

/** A low-rank pair: scale B A is added to a weight [out, in]. */
export interface LoraPair<T = Tensor<"float32">> {
  /** [rank, in] */
  readonly a: T;
  /** [out, rank] */
  readonly b: T;
  /** alpha / rank */
  readonly scale: number;
}

/** A finetuned checkpoint: low-rank pairs, and weights that replace those of the base. */
export interface LoraWeights<T = Tensor<"float32">> {
  /** By the key of the weight they change. */
  readonly pairs: ReadonlyMap<string, LoraPair<T>>;
  /** By key: layers that were trained as a whole, such as patch embeddings. */
  readonly whole: ReadonlyMap<string, T>;
  /** By key: what is added to a weight, such as a bias or the scale of a norm, times the LoRA's weight alone. */
  readonly diffs: ReadonlyMap<string, T>;
}

/** One of several LoRAs over a base. */
export interface WeightedLora {
  readonly lora: LoraWeights;
  /** 1 = as trained. Pairs are multiplied by it; whole weights go this share of the way from the weight so far. */
  readonly weight: number;
}

/**
 * Sorts the tensors of a LoRA, in any of the namings of `LORA_NAMINGS`. Scales are alpha / rank where there is an
 * alpha tensor, otherwise 1.
 * @param tensors by their names in the file
 * @throws UserError when one half of a pair is missing, or two halves do not fit
 */
export function parseLora(tensors: Weights): LoraWeights {
  const names = readLoraNames(tensors.keys());
  const pairs = new Map<string, LoraPair>();
  for (const [key, { a, b, alpha }] of names.pairs) {
    const pair = { a: tensors.get(a)!, b: tensors.get(b)! };
    const rank = checkPair(key, pair);
    const value = alpha === null ? rank : readAlpha(tensors.get(alpha)!, key);
    pairs.set(key, { ...pair, scale: value / rank });
  }
  const named = (of: ReadonlyMap<string, string>) =>
    new Map([...of].map(([key, name]) => [key, tensors.get(name)!]));
  return { pairs, whole: named(names.whole), diffs: named(names.diffs) };
}

/** Keys of the weights that a LoRA changes, each as often as it does. */
export function changedKeys({ pairs, whole, diffs }: LoraWeights<unknown>): string[] {
  return [...pairs.keys(), ...whole.keys(), ...diffs.keys()];
}

/** Whether a LoRA changes a weight. */
export function changes({ pairs, whole, diffs }: LoraWeights<unknown>, key: string): boolean {
  return pairs.has(key) || whole.has(key) || diffs.has(key);
}

/** Every tensor of a LoRA but its alphas. */
export function tensorsOf<T>({ pairs, whole, diffs }: LoraWeights<T>): T[] {
  return [...[...pairs.values()].flatMap(({ a, b }) => [a, b]), ...whole.values(), ...diffs.values()];
}

interface Shaped {
  readonly shape: readonly number[];
}

/**
 * The rank of a pair.
 * @throws UserError when its halves do not fit
 */
export function checkPair(
  key: string,
  { a, b }: Readonly<Record<"a" | "b", Shaped>>,
  where = "the LoRA",
): number {
  const [rank] = a.shape;
  if (a.shape.length === 2 && b.shape.length === 2 && rank === b.shape[1] && rank! > 0) return rank!;
  throw new UserError(
    `${where} has for ${key} A [${a.shape.join(", ")}] and B [${b.shape.join(", ")}]; ` +
      "expected [rank, in] and [out, rank]",
  );
}

/** The value of an alpha tensor. @throws UserError unless it is one finite number */
export function readAlpha(tensor: Tensor, key: string, where = "the LoRA"): number {
  const alpha =
    tensor.data.length === 1 ? toFloat32(tensor, `${where}: alpha of ${key}`).data[0]! : Number.NaN;
  if (Number.isFinite(alpha)) return alpha;
  throw new UserError(`${where} has an alpha for ${key} that is not one finite number`);
}

/**
 * One weight with LoRAs merged into it, in order: first whole weights, W + weight (W_file - W), and differences,
 * W + weight D, then pairs, W + weight scale B A. A weight that no LoRA changes is returned as it is.
 * @throws UserError when shapes do not fit
 */
export function mergeLoras(
  key: string,
  base: Tensor<"float32">,
  loras: readonly WeightedLora[],
): Tensor<"float32"> {
  const whole = mergeWhole(key, base, loras);
  return loras.reduce((sum, { lora, weight }) => addPair(key, sum, lora.pairs.get(key), weight), whole);
}

/**
 * One weight with what LoRAs hold whole, and their differences, without their pairs.
 * @throws UserError when shapes do not fit
 */
export function mergeWhole(
  key: string,
  base: Tensor<"float32">,
  loras: readonly WeightedLora[],
): Tensor<"float32"> {
  const fits = (tensor: Tensor<"float32">): Tensor<"float32"> => {
    if (tensor.shape.join() !== base.shape.join()) throw misfit(key, tensor.shape, base.shape);
    return tensor;
  };
  return loras.reduce((from, { lora, weight }) => {
    const to = lora.whole.get(key);
    const moved = to ? moveTo(from, fits(to), weight) : from;
    const diff = lora.diffs.get(key);
    if (!diff) return moved;
    const { data } = fits(diff);
    return float32(
      moved.data.map((x, i) => x + weight * data[i]!),
      base.shape,
    );
  }, base);
}

function moveTo(from: Tensor<"float32">, to: Tensor<"float32">, weight: number): Tensor<"float32"> {
  if (weight === 1) return to;
  return float32(
    from.data.map((x, i) => x + weight * (to.data[i]! - x)),
    from.shape,
  );
}

function addPair(
  key: string,
  base: Tensor<"float32">,
  pair: LoraPair | undefined,
  weight: number,
): Tensor<"float32"> {
  if (!pair) return base;
  const [out, rank] = pair.b.shape as [number, number];
  const width = pair.a.shape[1]!;
  if ([out, width].join() !== base.shape.join()) throw misfit(key, [out, width], base.shape);
  const merged = new Float32Array(out * width);
  const row = new Float64Array(width);
  for (let i = 0; i < out; i++) {
    row.fill(0);
    for (let r = 0; r < rank; r++) {
      const factor = weight * pair.scale * pair.b.data[i * rank + r]!;
      for (let j = 0; j < width; j++) row[j]! += factor * pair.a.data[r * width + j]!;
    }
    for (let j = 0; j < width; j++) merged[i * width + j] = base.data[i * width + j]! + row[j]!;
  }
  return float32(merged, base.shape);
}

function misfit(key: string, got: readonly number[], expected: readonly number[]): UserError {
  return new UserError(
    `the LoRA changes ${key} as [${got.join(", ")}]; the model has [${expected.join(", ")}]`,
  );
}

/**
 * All weights of a model with a LoRA merged in. The base stays as it is; unchanged tensors are shared with it.
 * @param weight multiplies the LoRA's own scale; the published loader calls it alpha
 * @throws UserError when the LoRA names a weight that the model does not have, or shapes do not fit
 */
export function mergeLora(base: Weights, lora: LoraWeights, weight = 1): Map<string, Tensor<"float32">> {
  const unknown = changedKeys(lora).find((key) => !base.has(key));
  if (unknown !== undefined)
    throw new UserError(`the LoRA changes ${unknown}, which the model does not have`);
  return new Map([...base].map(([key, tensor]) => [key, mergeLoras(key, tensor, [{ lora, weight }])]));
}
