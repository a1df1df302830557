/** What a training starts from: an architecture by name with random weights, or a model folder. */
import { type ModelFolder, openModelFolder } from "../../diffusion/model-folder.ts";
import { parseTokenizerFile } from "../../diffusion/tokenizer-file.ts";
import { PromptTokenizer, paddedIds } from "../../diffusion/tokenizer.ts";
import { CLIP_VISION_PREFIX } from "../../models/clip-vision/build.ts";
import { CLIP_VISION_PRESETS } from "../../models/clip-vision/config.ts";
import { UMT5_PRESETS } from "../../models/umt5/config.ts";
import { WAN_DIT_PRESETS } from "../../models/wan-dit/config.ts";
import { MINI_WAN_VAE, TINY_WAN_VAE, WAN_VAE, type WanVaeConfig } from "../../models/wan-vae/config.ts";
import { overlayCheckpoints, replacePrefix } from "../../runtime/mapped-checkpoint.ts";
import { type Checkpoint } from "../../runtime/safetensors.ts";
import { type DenoiserModels, MODEL_SCOPES } from "../../training/denoiser-loss.ts";
import { captionTokenizerJson } from "../../training/tokenizer.ts";

/** Architectures by name. */
export const MODEL_PRESETS = {
  tiny: {
    dit: WAN_DIT_PRESETS.tiny,
    textEncoder: UMT5_PRESETS.tiny,
    imageEncoder: CLIP_VISION_PRESETS.tiny,
    textTokens: 16,
  },
  mini: {
    dit: WAN_DIT_PRESETS.mini,
    textEncoder: UMT5_PRESETS.mini,
    imageEncoder: CLIP_VISION_PRESETS.mini,
    textTokens: 48,
  },
  published: {
    dit: WAN_DIT_PRESETS.wan14b,
    textEncoder: UMT5_PRESETS.xxl,
    imageEncoder: CLIP_VISION_PRESETS.vitH,
    textTokens: 512,
  },
} as const satisfies Record<string, DenoiserModels & { textTokens: number }>;

/** VAEs of the same names. */
export const VAE_PRESETS = {
  tiny: TINY_WAN_VAE,
  mini: MINI_WAN_VAE,
  published: WAN_VAE,
} as const satisfies Record<keyof typeof MODEL_PRESETS, WanVaeConfig>;

export interface ModelSource {
  readonly models: DenoiserModels;
  /** Tokens of a prompt, padding included. */
  readonly textTokens: number;
  /** The opened folder; null for an architecture by name. */
  readonly folder: ModelFolder | null;
}

/** @param model a name of `MODEL_PRESETS`, or a model folder @throws UserError when it is neither */
export async function openModelSource(model: string): Promise<ModelSource> {
  if (Object.hasOwn(MODEL_PRESETS, model)) {
    const { textTokens, ...models } = MODEL_PRESETS[model as keyof typeof MODEL_PRESETS];
    return { models, textTokens, folder: null };
  }
  const folder = await openModelFolder(model);
  const { dit, textEncoder, imageEncoder, textTokens } = folder.description;
  return { models: { dit, textEncoder, imageEncoder }, textTokens, folder };
}

/** The tokens of the empty prompt, with the model's tokenizer: that of captions for an architecture by name. */
export async function emptyPromptTokens({ folder, textTokens }: ModelSource): Promise<Int32Array> {
  const tokenizer = folder ? await PromptTokenizer.load(folder.tokenizerPath) : captionTokenizer();
  return Int32Array.from(paddedIds(tokenizer.tokenize("", textTokens), textTokens));
}

/** The tokenizer of models that learn from captions of rendered clips. */
export function captionTokenizer(): PromptTokenizer {
  const name = "the caption tokenizer";
  return new PromptTokenizer(parseTokenizerFile(captionTokenizerJson(), name), name);
}

/** The weights of a folder's denoiser and encoders under their keys in the training graph, with no bytes read. */
export async function openModelWeights(folder: ModelFolder): Promise<Checkpoint> {
  const parts: Checkpoint[] = [];
  for (const part of ["dit", "textEncoder", "imageEncoder"] as const) {
    const file = await folder.open(part);
    const prefix = part === "imageEncoder" ? `${CLIP_VISION_PREFIX}.` : "";
    parts.push(replacePrefix(file, prefix, `${MODEL_SCOPES[part]}.`));
  }
  return overlayCheckpoints(parts);
}
