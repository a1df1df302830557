/** What a denoiser's training graphs are built of, from its settings. */
import { type DatasetIndex, readDatasetIndex } from "../../training/dataset-index.ts";
import { type DenoiserNetwork, type LoraRecipe, denoiserParams } from "../../training/denoiser-run.ts";
import { MODEL_SCOPES } from "../../training/denoiser-loss.ts";
import { UserError } from "../../tensor/errors.ts";
import type { DenoiserConfig } from "./config.ts";
import { type ModelSource, openModelSource } from "./model-source.ts";

export interface NetworkSource {
  readonly source: ModelSource;
  readonly network: DenoiserNetwork;
  readonly width: number;
  readonly height: number;
  /** Null when the settings give the sizes and there is no dataset yet. */
  readonly index: DatasetIndex | null;
}

/**
 * Opens the model and the dataset's index, and checks that settings, model and dataset fit together.
 * @param isPlan true where a missing dataset is no fault, as long as the settings give the size of clips
 * @throws UserError saying what does not fit
 */
export async function openNetwork(config: DenoiserConfig, isPlan: boolean): Promise<NetworkSource> {
  const source = await openModelSource(config.model);
  const canDoWithout = isPlan && config.width !== null && config.height !== null;
  const index = await readDatasetIndex(config.dataset.folder).catch((error: unknown) => {
    if (canDoWithout && error instanceof UserError) return null;
    throw error;
  });
  const width = config.width ?? index!.width;
  const height = config.height ?? index!.height;
  if (index) await checkDatasets(config, source, index, { width, height });
  const network = {
    models: source.models,
    size: {
      channels: source.models.dit.outDim,
      height: height / 8,
      width: width / 8,
      imageSize: source.models.imageEncoder.imageSize,
    },
    textTokens: source.textTokens,
    lora: "lora" in config ? loraRecipe(config.lora) : null,
    recompute: config.recompute,
  };
  if ("lora" in config) checkTargets(config, network);
  return { source, network, width, height, index };
}

/** Of the dataset, and of those of `interpolation` and of sample sheets, which would otherwise be missed after hours. */
async function checkDatasets(
  config: DenoiserConfig,
  source: ModelSource,
  ownIndex: DatasetIndex,
  size: { readonly width: number; readonly height: number },
): Promise<void> {
  const { folder: own } = config.dataset;
  const isPhase2 = config.kind === "phase2";
  checkDataset(config, source, { folder: own, index: ownIndex, interpolates: isPhase2 }, size);
  const pasted = "interpolation" in config ? config.interpolation.folder : null;
  if (pasted !== null) {
    const clips = { folder: pasted, index: await readDatasetIndex(pasted), interpolates: true };
    checkDataset(config, source, clips, size);
  }
  const { everySteps, folder, clips: shown } = config.samples;
  if (everySteps === null) return;
  const index = folder === null ? ownIndex : await readDatasetIndex(folder);
  if (folder !== null) checkDataset(config, source, { folder, index, interpolates: isPhase2 }, size);
  const { length } = index.clips;
  if (shown.some((clip) => clip < length)) return;
  throw new UserError(`samples.clips is ${shown.join(", ")}; ${folder ?? own} has clips 0 to ${length - 1}`);
}

function checkDataset(
  { stages }: DenoiserConfig,
  { models, textTokens }: ModelSource,
  { folder, index, interpolates }: { folder: string; index: DatasetIndex; interpolates: boolean },
  size: { readonly width: number; readonly height: number },
): void {
  if (index.clips.length === 0) throw new UserError(`${folder} has no clips; expected at least one`);
  const expected: [string, number, number | undefined][] = [
    ["clips of width", index.width, size.width],
    ["clips of height", index.height, size.height],
    ["prompts of tokens", index.shapes.tokens[0]!, textTokens],
    ["reference pictures of side", index.shapes.image[1]!, models.imageEncoder.imageSize],
    ["latents of channels", index.shapes.video[0]!, models.dit.outDim],
  ];
  for (const [what, has, wanted] of expected) {
    if (has !== wanted) throw new UserError(`${folder} has ${what} ${has}; the training needs ${wanted}`);
  }
  const longest = index.shapes.video[1]!;
  const tooLong = stages.find(({ latentFrames }) => latentFrames > longest);
  if (tooLong) {
    throw new UserError(
      `a stage wants clips of ${tooLong.latentFrames} latent frames; those of ${folder} have ${longest}`,
    );
  }
  const isPasted = index.headFrames > 0;
  if (interpolates !== isPasted) {
    throw new UserError(
      isPasted
        ? `${folder} has pictures pasted at the ends of its clips, which only phase2 and the key interpolation learn from`
        : `${folder} has no pictures pasted at the ends of its clips, which phase2 and the key interpolation learn from`,
    );
  }
  const cut = interpolates && stages.find(({ latentFrames }) => latentFrames !== longest);
  if (cut) {
    throw new UserError(
      `a stage cuts clips to ${cut.latentFrames} of ${longest} latent frames; interpolation needs their ends`,
    );
  }
}

function loraRecipe({
  rank,
  alpha,
  targets,
}: {
  rank: number;
  alpha: number;
  targets: readonly string[];
}): LoraRecipe {
  return { rank, alpha, targets: layerPattern(targets) };
}

/** Matches weights' keys in the training graph of layers such as `blocks.*.ffn.0`. */
export function layerPattern(layers: readonly string[]): RegExp {
  const parts = layers.map((layer) =>
    layer
      .split("*")
      .map((part) => part.replace(/[^\w-]/g, "\\$&"))
      .join("[^.]+"),
  );
  return new RegExp(`^${MODEL_SCOPES.dit}\\.(?:${parts.join("|")})\\.weight$`);
}

/** @throws UserError naming a pattern that no linear layer matches */
function checkTargets(config: DenoiserConfig, network: DenoiserNetwork): void {
  if (!("lora" in config)) return;
  // Parameters do not depend on sizes but the channels.
  const size = { ...network.size, height: 2, width: 2 };
  const stages = [{ untilStep: 1, latentFrames: 1, batch: 1 }];
  const keys = [...denoiserParams({ ...network, size, lora: null, stages }).entries()]
    .filter(([, shape]) => shape.length === 2)
    .map(([key]) => key);
  for (const target of config.lora.targets) {
    const pattern = layerPattern([target]);
    if (keys.some((key) => pattern.test(key))) continue;
    throw new UserError(
      `lora.targets: no linear layer of the denoiser matches "${target}"; expected for example "blocks.*.self_attn.q"`,
    );
  }
}
