/** `adapter_config.json`, which PEFT keeps beside the tensors of an adapter. */
import { z } from "zod";
import { layerPath } from "../models/layers/lora-naming.ts";
import { type LoraWeights } from "../models/layers/lora-merge.ts";
import { UserError } from "../tensor/errors.ts";

const count = z.number().int().positive();

const schema = z.looseObject({
  peft_type: z.literal("LORA"),
  r: count,
  lora_alpha: z.number(),
  use_rslora: z.boolean().nullish(),
  /** Ranks and alphas of single layers, by path. */
  rank_pattern: z.record(z.string(), count).nullish(),
  alpha_pattern: z.record(z.string(), z.number()).nullish(),
  /** Other methods under the same name: DoRA, and weights stored [in, out]. */
  use_dora: z.literal(false).nullish(),
  fan_in_fan_out: z.literal(false).nullish(),
});

export type PeftConfig = z.infer<typeof schema>;

/** @throws UserError naming the fields at fault */
export function parsePeftConfig(value: unknown, where: string): PeftConfig {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw new UserError(`${where} does not describe a LoRA:\n${z.prettifyError(result.error)}`);
}

/**
 * PEFT's rule: alpha / rank, or alpha / sqrt(rank) of a rank-stabilised LoRA (Kalajdzievski, 2023), with a layer's own
 * alpha where it has one.
 * @param rank of the layer's tensors
 * @throws UserError when the rank is not the one in the file, or patterns are regular expressions
 */
export function peftScale(config: PeftConfig, weightKey: string, rank: number, where: string): number {
  const path = layerPath(weightKey);
  const expected = valueFor(path, config.rank_pattern, where) ?? config.r;
  if (rank !== expected) {
    throw new UserError(`${where} gives ${path} rank ${expected}, but its tensors have rank ${rank}`);
  }
  const alpha = valueFor(path, config.alpha_pattern, where) ?? config.lora_alpha;
  return alpha / (config.use_rslora ? Math.sqrt(rank) : rank);
}

/** The value of the first pattern that a path ends with. They are PEFT's regular expressions; only names are taken. */
function valueFor(
  path: string,
  patterns: Readonly<Record<string, number>> | null | undefined,
  where: string,
): number | undefined {
  for (const [pattern, value] of Object.entries(patterns ?? {})) {
    const name = pattern.replace(/^\^/, "").replaceAll(String.raw`\.`, ".");
    if (!/^[\w.]+$/.test(name)) {
      throw new UserError(
        `${where} has the pattern "${pattern}"; expected a layer's name, such as blocks.0.ffn.2`,
      );
    }
    if (path === name || (!pattern.startsWith("^") && path.endsWith(`.${name}`))) return value;
  }
  return undefined;
}

interface Halves {
  readonly shape: readonly number[];
}

/**
 * The configuration with which PEFT loads these tensors over a model with the published modules' names. The commonest
 * rank and alpha are the adapter's; other layers are named with their own.
 */
export function peftConfigOf({ pairs, whole }: LoraWeights<Halves>): PeftConfig {
  const layers = [...pairs]
    .map(([key, { a, scale }]) => ({ path: layerPath(key), rank: a.shape[0]!, alpha: scale * a.shape[0]! }))
    .sort((x, y) => (x.path < y.path ? -1 : 1));
  const r = commonest(layers.map(({ rank }) => rank)) ?? 1;
  const alpha = commonest(layers.map((layer) => layer.alpha)) ?? r;
  const others = <T extends "rank" | "alpha">(name: T, usual: number): Record<string, number> =>
    Object.fromEntries(
      layers.filter((layer) => layer[name] !== usual).map((layer) => [layer.path, layer[name]]),
    );
  const modules = new Set([...whole.keys()].map((key) => key.replace(/(?:\.\d+)?\.(?:weight|bias)$/, "")));
  return {
    base_model_name_or_path: null,
    bias: "none",
    fan_in_fan_out: false,
    inference_mode: true,
    init_lora_weights: true,
    lora_alpha: alpha,
    lora_dropout: 0,
    modules_to_save: modules.size > 0 ? [...modules].sort() : null,
    peft_type: "LORA",
    r,
    rank_pattern: others("rank", r),
    alpha_pattern: others("alpha", alpha),
    target_modules: layers.map(({ path }) => path),
    task_type: null,
    use_dora: false,
    use_rslora: false,
  };
}

/** The value that occurs most often, the first of equals. */
function commonest(values: readonly number[]): number | undefined {
  const counts = new Map<number, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts].sort(([, a], [, b]) => b - a)[0]?.[0];
}
