/** Where the parts of a published model lie: names of files and folders, as published and as others repackage them. */
import { readdir, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { UserError } from "../../tensor/errors.ts";

/** What a model consists of; `dit` may be a part of `base`. */
export type ModelSource = "base" | "cond" | "dit" | "vae" | "textEncoder" | "imageEncoder" | "tokenizer";

interface Place {
  readonly words: string;
  /** Paths in the order in which they are looked for; `*` stands for any characters of a name. */
  readonly paths: readonly string[];
  /** What to get, for a message. */
  readonly wanted: string;
}

const WAN = "from Wan-AI/Wan2.1-I2V-14B-720P";
const POSEGEN = "from Jessie459/PoseGen";

export const PLACES: Readonly<Record<ModelSource, Place>> = {
  base: {
    words: "finetuning of phase 1",
    paths: ["720p-81f-base"],
    wanted: `the folder 720p-81f-base ${POSEGEN}`,
  },
  cond: {
    words: "finetuning of phase 2",
    paths: ["720p-81f-cond"],
    wanted: `the folder 720p-81f-cond ${POSEGEN}`,
  },
  dit: {
    words: "base weights of the denoiser",
    paths: [
      "diffusion_pytorch_model.safetensors.index.json",
      "diffusion_pytorch_model-00001-of-*.safetensors",
      "transformer",
      "wan*i2v*.safetensors",
    ],
    wanted: `diffusion_pytorch_model*.safetensors ${WAN}`,
  },
  vae: {
    words: "VAE",
    paths: [
      "Wan2.1_VAE.pth",
      "vae/diffusion_pytorch_model.safetensors",
      "wan_2.1_vae.safetensors",
      "Wan2_1_VAE*.safetensors",
    ],
    wanted: `Wan2.1_VAE.pth ${WAN}`,
  },
  textEncoder: {
    words: "text encoder",
    paths: [
      "models_t5_umt5-xxl-enc-bf16.pth",
      "text_encoder",
      "umt5_xxl_fp16.safetensors",
      "umt5-xxl-enc-bf16.safetensors",
    ],
    wanted: `models_t5_umt5-xxl-enc-bf16.pth ${WAN}`,
  },
  imageEncoder: {
    words: "image encoder",
    paths: [
      "models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth",
      "image_encoder",
      "clip_vision_h.safetensors",
    ],
    wanted: `models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth ${WAN}`,
  },
  tokenizer: {
    words: "tokenizer",
    paths: [
      "google/umt5-xxl/tokenizer.json",
      "umt5-xxl/tokenizer.json",
      "tokenizer/tokenizer.json",
      "tokenizer.json",
    ],
    wanted: `google/umt5-xxl/tokenizer.json ${WAN}`,
  },
};

export const MODEL_SOURCES = Object.keys(PLACES) as ModelSource[];

/** Paths of the parts that were found. */
export type FoundSources = Readonly<Partial<Record<ModelSource, string>>>;

/** Folders in which parts are looked for: more are no model but a disk. */
const MAX_FOLDERS = 64;

/** Looks for the parts in a folder, and then in the folders in it. */
export async function findSources(folder: string): Promise<FoundSources> {
  const entries = await readdir(folder, { withFileTypes: true });
  const folders = entries
    .filter((entry) => entry.isDirectory() || entry.isSymbolicLink())
    .map((entry) => join(folder, entry.name))
    .sort();
  const places = [folder, ...folders.slice(0, MAX_FOLDERS)];
  const found: Partial<Record<ModelSource, string>> = {};
  for (const source of MODEL_SOURCES) {
    for (const place of places) {
      const path = await firstOf(place, PLACES[source].paths);
      if (path === null) continue;
      found[source] = path;
      break;
    }
  }
  return found;
}

async function firstOf(folder: string, paths: readonly string[]): Promise<string | null> {
  for (const path of paths) {
    const found = path.includes("*") ? await firstMatch(folder, path) : await existing(join(folder, path));
    if (found !== null) return found;
  }
  return null;
}

async function existing(path: string): Promise<string | null> {
  return (await stat(path).catch(() => null)) === null ? null : path;
}

/** Shards are opened by their folder, or by the one name that all of them share with their number. */
async function firstMatch(folder: string, path: string): Promise<string | null> {
  const pattern = new RegExp(`^${path.replaceAll(".", String.raw`\.`).replaceAll("*", ".*")}$`, "i");
  const names = (await readdir(folder).catch(() => [])).filter((name) => pattern.test(name)).sort();
  if (names.length === 0) return null;
  return /-00001-of-/.test(path) ? folder : join(folder, names[0]!);
}

/** @throws UserError naming every part that is missing, and the file that would fill it */
export function checkSources(found: FoundSources, where: string, needed: readonly ModelSource[]): void {
  const missing = needed.filter((source) => found[source] === undefined);
  if (missing.length === 0) return;
  const list = missing.map((source) => `the ${PLACES[source].words} (${PLACES[source].wanted})`);
  throw new UserError(
    `${where} lacks ${list.join("; ")}. Put it into that folder, or name its place in a JSON file: ` +
      `{"folder": "${basename(where)}", "parts": {"${missing[0]!}": "path"}}`,
  );
}
