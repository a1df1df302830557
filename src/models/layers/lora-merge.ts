import { UserError } from "../../tensor/errors.ts";
import { type Tensor, float32 } from "../../tensor/tensor.ts";

type Weights = ReadonlyMap<string, Tensor<"float32">>;

/** A finetuned checkpoint: low-rank pairs, and weights that replace those of the base. */
export interface LoraWeights {
  /** By the key of the weight they change: A [rank, in], B [out, rank]. */
  readonly pairs: ReadonlyMap<string, { readonly a: Tensor<"float32">; readonly b: Tensor<"float32"> }>;
  /** By key: layers that were trained as a whole, such as patch embeddings. */
  readonly whole: Weights;
}

/**
 * The key of a finetuned tensor without the wrappers of PEFT and of training code: prefixes `pipe.dit.` and
 * `diffusion_model.`, the part `.base_layer`, and the adapter's name `.default`.
 */
export function plainKey(key: string): string {
  return key
    .replace(/^(?:pipe\.dit\.|diffusion_model\.)/, "")
    .replace(".base_layer.", ".")
    .replace(/\.(lora_[AB])\.default\.weight$/, ".$1.weight");
}

/**
 * Sorts the tensors of a LoRA file.
 * @param tensors by their names in the file, in PEFT's or the open format
 * @throws UserError when one half of a pair is missing, or two halves do not fit
 */
export function parseLora(tensors: Weights): LoraWeights {
  const halves = { A: new Map<string, Tensor<"float32">>(), B: new Map<string, Tensor<"float32">>() };
  const whole = new Map<string, Tensor<"float32">>();
  for (const [name, tensor] of tensors) {
    const key = plainKey(name);
    const [, stem, half] = /^(.*)\.lora_([AB])\.weight$/.exec(key) ?? [];
    if (stem === undefined) whole.set(key, tensor);
    else halves[half as "A" | "B"].set(`${stem}.weight`, tensor);
  }
  const pairs = new Map<string, { a: Tensor<"float32">; b: Tensor<"float32"> }>();
  for (const [key, a] of halves.A) {
    const b = halves.B.get(key);
    if (!b) throw new UserError(`the LoRA has lora_A but no lora_B for ${key}`);
    if (a.shape.length !== 2 || b.shape.length !== 2 || a.shape[0] !== b.shape[1]) {
      throw new UserError(
        `the LoRA of ${key} has A [${a.shape.join(", ")}] and B [${b.shape.join(", ")}]; ` +
          "expected [rank, in] and [out, rank]",
      );
    }
    pairs.set(key, { a, b });
  }
  for (const key of halves.B.keys()) {
    if (!pairs.has(key)) throw new UserError(`the LoRA has lora_B but no lora_A for ${key}`);
  }
  return { pairs, whole };
}

/**
 * One weight with a LoRA merged into it: W + alpha B A, or the finetuned weight itself where the file holds it whole.
 * Weights that the LoRA does not change are returned as they are.
 * @param alpha a plain multiplier, as in the published loader: it is not divided by the rank
 * @throws UserError when shapes do not fit
 */
export function mergeLoraWeight(
  key: string,
  base: Tensor<"float32">,
  lora: LoraWeights,
  alpha = 1,
): Tensor<"float32"> {
  const weight = lora.whole.get(key) ?? base;
  const fits = (shape: readonly number[]): boolean => shape.join() === base.shape.join();
  if (!fits(weight.shape)) throw misfit(key, weight.shape, base.shape);
  const pair = lora.pairs.get(key);
  if (!pair) return weight;
  const [out, rank] = pair.b.shape as [number, number];
  const width = pair.a.shape[1]!;
  if (!fits([out, width])) throw misfit(key, [out, width], base.shape);
  const merged = new Float32Array(out * width);
  const row = new Float64Array(width);
  for (let i = 0; i < out; i++) {
    row.fill(0);
    for (let r = 0; r < rank; r++) {
      const factor = alpha * pair.b.data[i * rank + r]!;
      for (let j = 0; j < width; j++) row[j]! += factor * pair.a.data[r * width + j]!;
    }
    for (let j = 0; j < width; j++) merged[i * width + j] = weight.data[i * width + j]! + row[j]!;
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
 * @throws UserError when the LoRA names a weight that the model does not have, or shapes do not fit
 */
export function mergeLora(base: Weights, lora: LoraWeights, alpha = 1): Map<string, Tensor<"float32">> {
  const unknown = [...lora.pairs.keys(), ...lora.whole.keys()].find((key) => !base.has(key));
  if (unknown !== undefined)
    throw new UserError(`the LoRA changes ${unknown}, which the model does not have`);
  return new Map([...base].map(([key, weight]) => [key, mergeLoraWeight(key, weight, lora, alpha)]));
}
