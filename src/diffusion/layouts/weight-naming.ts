/** Which names a file gives to a network's weights, and where our keys lie in it. */
import { mapCheckpoint, type TensorSource } from "../../runtime/mapped-checkpoint.ts";
import { quote } from "../../runtime/quote.ts";
import { type Checkpoint } from "../../runtime/safetensors.ts";
import { UserError } from "../../tensor/errors.ts";
import { DIFFUSERS_DIT } from "./dit-keys.ts";
import { TRANSFORMERS_CLIP } from "./image-encoder-keys.ts";
import { type KeyRow, sourcesOf, theirNames } from "./key-table.ts";
import { TRANSFORMERS_UMT5 } from "./text-encoder-keys.ts";
import { DIFFUSERS_VAE } from "./vae-keys.ts";

/** A network whose weights lie in files of their own. */
export type Network = "dit" | "vae" | "textEncoder" | "imageEncoder";

interface NetworkNames {
  /** For messages. */
  readonly words: string;
  /** A weight that every such network has. */
  readonly telltale: string;
  /** Names beside the original ones. */
  readonly table: readonly KeyRow[];
  readonly tableWords: string;
}

export const NETWORK_NAMES: Readonly<Record<Network, NetworkNames>> = {
  dit: {
    words: "denoiser",
    telltale: "blocks.0.self_attn.q.weight",
    table: DIFFUSERS_DIT,
    tableWords: "Diffusers",
  },
  vae: {
    words: "VAE",
    telltale: "decoder.conv1.weight",
    table: DIFFUSERS_VAE,
    tableWords: "Diffusers",
  },
  textEncoder: {
    words: "text encoder",
    telltale: "token_embedding.weight",
    table: TRANSFORMERS_UMT5,
    tableWords: "Transformers",
  },
  imageEncoder: {
    words: "image encoder",
    telltale: "visual.patch_embedding.weight",
    table: TRANSFORMERS_CLIP,
    tableWords: "Transformers",
  },
};

/** What training code and other programs put before all names. */
export const PREFIXES = [
  "",
  "pipe.dit.",
  "model.diffusion_model.",
  "diffusion_model.",
  "state_dict.",
  "module.",
  "model.",
] as const;

/** PEFT keeps a weight that it adapts under this part of its name. */
const BASE_LAYER = ".base_layer.";

const LORA_PART = /\.lora_(?:[AB]|down|up)\b/;

export interface NamedWeights {
  /** The weights by our keys. */
  readonly checkpoint: Checkpoint;
  /** For people, e.g. `original names behind "pipe.dit."`. */
  readonly naming: string;
  /** Names in the file that no key of ours leads to, low-rank pairs apart. */
  readonly unused: readonly string[];
}

/** Our keys and their sources if a checkpoint holds such a network, or null. */
export function findWeights(network: Network, checkpoint: Checkpoint): NamedWeights | null {
  const { telltale, table, tableWords } = NETWORK_NAMES[network];
  const names = [...checkpoint.tensors.keys()];
  const isThere = (name: string): boolean => checkpoint.tensors.has(name);
  for (const prefix of PREFIXES) {
    const own = [telltale, telltale.replace(/\.weight$/, `${BASE_LAYER}weight`)];
    if (own.some((name) => isThere(prefix + name))) {
      return named(checkpoint, originalSources(names, prefix), "original names", prefix);
    }
    if (theirNames(table, telltale).every((name) => isThere(prefix + name))) {
      const sources = prefixed(sourcesOf(table, withoutPrefix(names, prefix)), prefix);
      return named(checkpoint, sources, `${tableWords} names`, prefix);
    }
  }
  return null;
}

/** As `findWeights`. @throws UserError when the checkpoint holds no such network */
export function recogniseWeights(network: Network, checkpoint: Checkpoint): NamedWeights {
  const found = findWeights(network, checkpoint);
  if (found) return found;
  const { words, telltale, table } = NETWORK_NAMES[network];
  const wanted = [telltale, theirNames(table, telltale)[0]!];
  throw new UserError(
    `${checkpoint.path} does not hold a ${words}: it has neither ${wanted.map(quote).join(" nor ")}`,
  );
}

function named(
  checkpoint: Checkpoint,
  sources: ReadonlyMap<string, TensorSource>,
  words: string,
  prefix: string,
): NamedWeights {
  const used = new Set([...sources.values()].flatMap(({ names }) => names));
  return {
    checkpoint: mapCheckpoint(checkpoint, sources),
    naming: prefix === "" ? words : `${words} behind "${prefix}"`,
    unused: [...checkpoint.tensors.keys()].filter((name) => !used.has(name) && !LORA_PART.test(name)),
  };
}

/** Weights under our keys; low-rank pairs are left out. */
function originalSources(names: readonly string[], prefix: string): Map<string, TensorSource> {
  const sources = new Map<string, TensorSource>();
  for (const name of withoutPrefix(names, prefix)) {
    if (!LORA_PART.test(name)) sources.set(name.replace(BASE_LAYER, "."), { names: [prefix + name] });
  }
  return sources;
}

function withoutPrefix(names: readonly string[], prefix: string): string[] {
  return names.filter((name) => name.startsWith(prefix)).map((name) => name.slice(prefix.length));
}

function prefixed(
  sources: ReadonlyMap<string, TensorSource>,
  prefix: string,
): ReadonlyMap<string, TensorSource> {
  return new Map(
    [...sources].map(([key, { names, rank }]) => [key, { names: names.map((name) => prefix + name), rank }]),
  );
}

/** Layers that finetuning trains as a whole (method section 6): the patch embeddings. */
export const TRAINED_WHOLE = /(?:^|\.)(?:ref_|hand_)?patch_embedding\./;

/**
 * What a finetuning changes, in a checkpoint that holds the frozen weights too: low-rank pairs and patch embeddings,
 * under their own names.
 */
export function finetuningOf(checkpoint: Checkpoint): Checkpoint {
  const names = [...checkpoint.tensors.keys()].filter(
    (name) => LORA_PART.test(name) || TRAINED_WHOLE.test(name),
  );
  return mapCheckpoint(checkpoint, new Map(names.map((name) => [name, { names: [name] }])));
}
