/** Models in the layouts of others: the original one, Diffusers', repackaged single files, and PoseGen's own. */
import { stat } from "node:fs/promises";
import { basename } from "node:path";
import { openCheckpoint } from "../../runtime/checkpoint.ts";
import { type Checkpoint } from "../../runtime/safetensors.ts";
import { UserError } from "../../tensor/errors.ts";
import { checkDescription } from "../check-description.ts";
import { loraFrom } from "../lora-file.ts";
import { MODEL_JSON, type ModelFolder, type ModelPart } from "../model-folder.ts";
import { ditConfig, imageEncoderConfig, textEncoderConfig, vaeConfig } from "./architecture.ts";
import { readPartsFile } from "./parts-file.ts";
import { checkSources, findSources, type FoundSources, PLACES } from "./places.ts";
import { checkPublishedConfig, type PublishedConfig, readPublishedConfig } from "./published-config.ts";
import { publishedDefaults } from "./published-defaults.ts";
import { finetuningOf, findWeights, type NamedWeights, recogniseWeights } from "./weight-naming.ts";

/** A model whose weights have the names of others. */
export interface PublishedModel extends ModelFolder {
  readonly sources: FoundSources;
  /** Each network's weights with what is known of their names. */
  readonly weights: Readonly<Record<"dit" | "vae" | "textEncoder" | "imageEncoder", NamedWeights>>;
}

/**
 * Opens a model from a folder of published files, or from a JSON file that names its parts. The denoiser's base weights
 * are those in the finetuning of phase 1 where it has them; they serve both phases.
 * @throws UserError naming every part that is missing and the file that would fill it, or the file at fault
 */
export async function openPublishedModel(path: string): Promise<PublishedModel> {
  const sources = await sourcesAt(path);
  checkSources(sources, path, ["base", "cond", "vae", "textEncoder", "imageEncoder", "tokenizer"]);
  const { base, cond, vae, textEncoder, imageEncoder, tokenizer } = sources as Required<FoundSources>;
  const config = await configBeside(base);
  const phases = { phase1: await openCheckpoint(base), phase2: await openCheckpoint(cond) };
  const weights = {
    dit: await openBase(phases.phase1, sources, path),
    vae: recogniseWeights("vae", await openCheckpoint(vae)),
    textEncoder: recogniseWeights("textEncoder", await openCheckpoint(textEncoder)),
    imageEncoder: recogniseWeights("imageEncoder", await openCheckpoint(imageEncoder)),
  };
  const dit = ditOf(weights.dit.checkpoint, phases.phase1, config);
  if (config) checkPublishedConfig(config, dit, base);
  const description = {
    format: 1 as const,
    name: basename(path),
    dit: { ...dit, patchSize: [...dit.patchSize] as [number, number, number] },
    vae: mutableVae(vaeConfig(weights.vae.checkpoint)),
    textEncoder: textEncoderConfig(weights.textEncoder.checkpoint),
    imageEncoder: imageEncoderConfig(weights.imageEncoder.checkpoint),
    ...publishedDefaults(dit.numLayers),
  };
  checkDescription(description, path);
  const finetunings = { phase1: finetuningOf(phases.phase1), phase2: finetuningOf(phases.phase2) };
  const parts: Record<ModelPart, Checkpoint> = {
    ...finetunings,
    dit: weights.dit.checkpoint,
    vae: weights.vae.checkpoint,
    textEncoder: weights.textEncoder.checkpoint,
    imageEncoder: weights.imageEncoder.checkpoint,
  };
  return {
    path,
    description,
    tokenizerPath: tokenizer,
    loras: [],
    frozen: [phases.phase1, phases.phase2].flatMap((phase) => findWeights("dit", phase)?.checkpoint ?? []),
    sources,
    weights,
    files: () => filesOf(parts, tokenizer),
    open: async (part) => parts[part],
    openPhase: (phase) => loraFrom(finetunings[phase], finetunings[phase].path),
  };
}

async function sourcesAt(path: string): Promise<FoundSources> {
  const isFolder = (await stat(path)).isDirectory();
  if (!isFolder && /\.json$/i.test(path)) return readPartsFile(path);
  const sources = isFolder ? await findSources(path) : {};
  // A tokenizer alone lies in many places.
  if (Object.keys(sources).some((source) => source !== "tokenizer")) return sources;
  throw new UserError(
    `${path} is not a model folder: expected a folder with ${MODEL_JSON} and its weights, a folder of published ` +
      "files, or a JSON file that names a model's parts",
  );
}

/** Finetunings without a folder of their own have no configuration. */
async function configBeside(path: string): Promise<PublishedConfig | null> {
  return (await stat(path)).isDirectory() ? readPublishedConfig(path) : null;
}

/** The denoiser's base weights: those that the finetuning rests on, or the original ones. */
async function openBase(phase1: Checkpoint, sources: FoundSources, where: string): Promise<NamedWeights> {
  const own = findWeights("dit", phase1);
  if (own) return own;
  checkSources(sources, where, ["dit"]);
  return recogniseWeights("dit", await openCheckpoint(sources.dit!));
}

/** The hand's and the reference's embeddings come with the finetuning, not with the original base. */
function ditOf(base: Checkpoint, phase1: Checkpoint, config: PublishedConfig | null) {
  const dit = ditConfig(base, config);
  const names = [...phase1.tensors.keys()];
  const has = (ending: string): boolean => names.some((name) => name.endsWith(ending));
  const hand = has("hand_patch_embedding.1.weight")
    ? "conv+proj"
    : has("hand_patch_embedding.weight")
      ? "conv"
      : dit.hand;
  if (!has("ref_patch_embedding.weight") && !base.tensors.has("ref_patch_embedding.weight")) {
    throw new UserError(
      `${phase1.path} has no ref_patch_embedding.weight: it is no finetuning for a reference image; ` +
        `expected ${PLACES.base.wanted}`,
    );
  }
  return { ...dit, hand } as const;
}

function mutableVae(config: ReturnType<typeof vaeConfig>) {
  const side = ({ dim, dimMult, numResBlocks }: typeof config.encoder) => ({
    dim,
    dimMult: [...dimMult],
    numResBlocks,
  });
  return {
    ...config,
    encoder: side(config.encoder),
    decoder: side(config.decoder),
    temporalDownsample: [...config.temporalDownsample],
    latentMean: [...config.latentMean],
    latentStd: [...config.latentStd],
  };
}

/** Every file of the model by a name that does not depend on where it lies. */
async function filesOf(
  parts: Readonly<Record<ModelPart, Checkpoint>>,
  tokenizer: string,
): Promise<ReadonlyMap<string, string>> {
  const files = new Map([["tokenizer", tokenizer]]);
  for (const [part, { tensors }] of Object.entries(parts)) {
    const paths = new Set([...tensors.values()].map(({ file }) => file));
    for (const file of paths) files.set(`${part}/${basename(file)}`, file);
  }
  return files;
}
