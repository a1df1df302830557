/** How LoRA files name their tensors: maps between those names and the model's checkpoint keys. */
import { UserError } from "../../tensor/errors.ts";

interface Names {
  /** Before the path of a layer, such as `blocks.0.self_attn.q`. */
  readonly prefix: string;
  /** Between the parts of a path. */
  readonly separator: "." | "_";
  /** After the path: A [rank, in], B [out, rank]. */
  readonly a: string;
  readonly b: string;
  /** After the path of a scalar by which the pair is scaled; null where the format has none. */
  readonly alpha: string | null;
  /** Before the keys of weights that the file holds whole. */
  readonly whole: string;
}

const PLAIN = { separator: ".", a: ".lora_A.weight", b: ".lora_B.weight", alpha: ".alpha" } as const;

/**
 * Every naming that is read and written.
 *
 * A pair adds scale B A to its weight. The scale is alpha / rank where the file gives an alpha, and 1 where it gives
 * none. PEFT gives it in `adapter_config.json` (see `diffusion/peft-config.ts`), the others in a scalar beside the
 * pair. The published checkpoints have none: they were trained with alpha = rank.
 */
export const LORA_NAMINGS = {
  /** This project's checkpoints. */
  posegen: { ...PLAIN, prefix: "", whole: "" },
  /** The published PoseGen checkpoints. */
  published: {
    ...PLAIN,
    prefix: "pipe.dit.",
    a: ".lora_A.default.weight",
    b: ".lora_B.default.weight",
    alpha: null,
    whole: "pipe.dit.",
  },
  /** `adapter_model.safetensors` of PEFT. */
  peft: { ...PLAIN, prefix: "base_model.model.", alpha: null, whole: "base_model.model." },
  /** Interfaces and trainers for Wan. */
  "diffusion-model": { ...PLAIN, prefix: "diffusion_model.", whole: "diffusion_model." },
  /** The same with the older words for A and B. */
  "diffusion-model-updown": {
    ...PLAIN,
    prefix: "diffusion_model.",
    a: ".lora_down.weight",
    b: ".lora_up.weight",
    whole: "diffusion_model.",
  },
  /** kohya's trainers. Whole weights have no place in it and keep their path. */
  kohya: {
    prefix: "lora_unet_",
    separator: "_",
    a: ".lora_down.weight",
    b: ".lora_up.weight",
    alpha: ".alpha",
    whole: "diffusion_model.",
  },
} as const satisfies Record<string, Names>;

export type LoraNaming = keyof typeof LORA_NAMINGS;

/** Names in a file of what changes one weight. */
export interface PairNames {
  readonly a: string;
  readonly b: string;
  readonly alpha: string | null;
}

export interface LoraNames {
  /** The naming of its pairs. */
  readonly naming: LoraNaming;
  /** By the key of the weight they change. */
  readonly pairs: ReadonlyMap<string, PairNames>;
  /** By key: weights that were trained as a whole, such as patch embeddings. */
  readonly whole: ReadonlyMap<string, string>;
  /** By key: what is added to a weight, as extracted LoRAs have it of norms, biases and modulations. */
  readonly diffs: ReadonlyMap<string, string>;
}

type Part = "a" | "b" | "alpha";

const PARTS: Readonly<Record<string, Part>> = { lora_A: "a", lora_down: "a", lora_B: "b", lora_up: "b" };

/** Ways to change a weight that are not a pair and not the weight itself. */
const OTHER_KINDS =
  /\.(?:dora_scale|lora_magnitude_vector\b.*|lora_embedding_[AB]\b.*|lora_mid\.weight|set_weight|hada_\w+|lokr_\w+)$/;

/** Endings of differences, and those of the weights that they are added to. */
const DIFFS = { diff: "weight", diff_b: "bias", diff_m: "modulation" } as const;

/**
 * Sorts the names of a LoRA file, in any of the namings.
 * @param where the file, for messages
 * @throws UserError when half of a pair is missing, two tensors claim one place, or a tensor is of another method
 */
export function readLoraNames(names: Iterable<string>, where = "the LoRA"): LoraNames {
  const layers = new Map<string, Partial<Record<Part, string>>>();
  const whole = new Map<string, string>();
  const diffs = new Map<string, string>();
  for (const name of names) {
    if (OTHER_KINDS.test(name)) {
      throw new UserError(
        `${where} holds "${name}", which is not part of a plain LoRA; expected lora_A and lora_B, lora_down and ` +
          "lora_up, alpha, diff, diff_b, diff_m, or whole weights",
      );
    }
    const changed = diffKey(name);
    if (changed !== null) {
      claim(diffs.get(changed), name, where);
      diffs.set(changed, name);
      continue;
    }
    const { path, part } = parseName(name, where);
    if (part === null) {
      claim(whole.get(path), name, where);
      whole.set(path, name);
      continue;
    }
    const layer = layers.get(path) ?? {};
    claim(layer[part], name, where);
    layers.set(path, { ...layer, [part]: name });
  }
  const pairs = new Map(
    [...layers].map(([path, layer]) => [`${path}.weight`, wholePair(path, layer, where)]),
  );
  const [telling = ""] = [...[...pairs.values()].map(({ a }) => a), ...whole.values(), ...diffs.values()];
  return { naming: namingOf(telling), pairs, whole, diffs };
}

/** The name that a naming gives to a part of a layer's pair; null for an alpha where it has none. */
export function pairName(naming: LoraNaming, weightKey: string, part: Part): string | null {
  const { prefix, separator, ...parts }: Names = LORA_NAMINGS[naming];
  const suffix = parts[part];
  return suffix === null ? null : prefix + layerPath(weightKey).replaceAll(".", separator) + suffix;
}

/** The name that a naming gives to a weight that is held whole. */
export function wholeName(naming: LoraNaming, key: string): string {
  return LORA_NAMINGS[naming].whole + key;
}

/**
 * The name that a naming gives to a difference; null where it has none.
 * @param key of the weight it is added to
 */
export function diffName(naming: LoraNaming, key: string): string | null {
  const { prefix, separator, alpha }: Names = LORA_NAMINGS[naming];
  const [, path, ending] = /^(.+)\.([^.]+)$/.exec(key) ?? [];
  const word = Object.entries(DIFFS).find(([, of]) => of === ending)?.[0];
  // Namings without scales of their own belong to programs that know pairs alone.
  if (path === undefined || word === undefined || alpha === null) return null;
  return `${prefix}${path.replaceAll(".", separator)}.${word}`;
}

/** `blocks.0.ffn.0` of the key `blocks.0.ffn.0.weight`. */
export function layerPath(weightKey: string): string {
  return weightKey.replace(/\.weight$/, "");
}

const PREFIXES = [...new Set(Object.values(LORA_NAMINGS).map(({ prefix }) => prefix))].filter(Boolean);

/** The key of the weight that a difference is added to; null for other tensors. */
function diffKey(name: string): string | null {
  const prefix = PREFIXES.find((start) => name.startsWith(start)) ?? "";
  const [, path, word] = /^(.+)\.(diff|diff_b|diff_m)$/.exec(name.slice(prefix.length)) ?? [];
  if (path === undefined) return null;
  const dotted = prefix === LORA_NAMINGS.kohya.prefix ? dottedPath(path) : path;
  return `${dotted}.${DIFFS[word as keyof typeof DIFFS]}`;
}

/** The layer and part that a tensor belongs to, or its key where it is held whole (part null). */
function parseName(name: string, where: string): { path: string; part: Part | null } {
  const prefix = PREFIXES.find((start) => name.startsWith(start)) ?? "";
  const rest = name.slice(prefix.length);
  const [, path, word] =
    /^(.+?)\.(?:(lora_[AB]|lora_down|lora_up)(?:\.default)?\.weight|alpha)$/.exec(rest) ?? [];
  if (path !== undefined) {
    const part = word === undefined ? "alpha" : PARTS[word]!;
    return { path: prefix === LORA_NAMINGS.kohya.prefix ? dottedPath(path) : path, part };
  }
  if (prefix === LORA_NAMINGS.kohya.prefix) {
    throw new UserError(
      `${where} holds "${name}"; expected .lora_down.weight, .lora_up.weight or .alpha there`,
    );
  }
  return { path: rest.replace(/\.(?:base_layer|modules_to_save\.default)\./, "."), part: null };
}

/** Parts of paths that contain an underscore themselves, longer ones first. */
const WORDS =
  "ref_patch_embedding|hand_patch_embedding|patch_embedding|text_embedding|time_embedding|time_projection|" +
  "cross_attn|self_attn|img_emb|k_img|v_img";

/** `blocks.0.self_attn.q` of kohya's `blocks_0_self_attn_q`. */
function dottedPath(flat: string): string {
  return flat.match(new RegExp(`(?:${WORDS})(?=_|$)|[^_]+`, "g"))?.join(".") ?? flat;
}

/** The naming of an A, or of a weight that is held whole. */
function namingOf(name: string): LoraNaming {
  const fits = (naming: LoraNaming): boolean => {
    const { prefix, a }: Names = LORA_NAMINGS[naming];
    return name.startsWith(prefix) && name.endsWith(a);
  };
  const namings = (Object.keys(LORA_NAMINGS) as LoraNaming[]).toReversed();
  // A file without pairs is told by its prefix alone; the empty prefix comes last.
  return namings.find(fits) ?? namings.find((naming) => name.startsWith(LORA_NAMINGS[naming].prefix))!;
}

function claim(known: string | undefined, name: string, where: string): void {
  if (known !== undefined) throw new UserError(`${where} holds both "${known}" and "${name}" for one place`);
}

function wholePair(path: string, { a, b, alpha }: Partial<Record<Part, string>>, where: string): PairNames {
  const key = `${path}.weight`;
  if (a !== undefined && b !== undefined) return { a, b, alpha: alpha ?? null };
  if (a === undefined && b === undefined) throw new UserError(`${where} has an alpha but no pair for ${key}`);
  const [has, lacks] = a === undefined ? ["lora_B", "lora_A"] : ["lora_A", "lora_B"];
  throw new UserError(`${where} has ${has} but no ${lacks} for ${key}`);
}
