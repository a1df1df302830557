/** Makes a model folder of trainings: `posegen train export`. */
import { basename, join } from "node:path";
import { MODEL_FILES, type ModelPart, openModelFolder } from "../../diffusion/model-folder.ts";
import { exists } from "../../files/exists.ts";
import { openCheckpoint } from "../../runtime/checkpoint.ts";
import { UserError } from "../../tensor/errors.ts";
import { loadAverages } from "../../training/checkpoint.ts";
import { readDatasetIndex } from "../../training/dataset-index.ts";
import { readTensors } from "../../runtime/tensor-file.ts";
import { VAE_WEIGHTS } from "../../training/vae-train.ts";
import type { DenoiserConfig, VaeConfig } from "./config.ts";
import { type DescribedModel, describeModel } from "./describe-model.ts";
import { openModelSource } from "./model-source.ts";
import { type PartWriter, copyOf, halfPrecision, writeModelFolder } from "./model-writer.ts";
import { readRunConfig } from "./run-folder.ts";
import { baseParts, phasePart, tokenizerPart } from "./trained-parts.ts";
import { isModelFolder, openVaeFiles } from "./trained-vae.ts";

export interface ExportOptions {
  /** Folders of trainings, one of each kind at most. */
  readonly runs: readonly string[];
  /** The model folder to write. */
  readonly out: string;
  /** Name of the model; that of the folder by default. */
  readonly name?: string | undefined;
}

export interface ExportedModel {
  readonly path: string;
  /** Parts that are still missing: with them, `generate` can use the folder. */
  readonly missing: readonly ModelPart[];
}

/** Runs by kind. */
interface Runs {
  vae?: { readonly folder: string; readonly config: VaeConfig };
  base?: DenoiserTraining;
  phase1?: DenoiserTraining;
  phase2?: DenoiserTraining;
}

interface DenoiserTraining {
  readonly folder: string;
  readonly config: DenoiserConfig;
}

/**
 * Writes a model folder in float16 from the averaged weights of trainings. What no training has made is taken from the
 * model folder that they started from; phases without a training change nothing. A VAE alone gives a folder that
 * datasets can be made with.
 * @throws UserError when runs do not fit together
 */
export async function exportModel({ runs: folders, out, name }: ExportOptions): Promise<ExportedModel> {
  const runs = await sortRuns(folders);
  const main = runs.phase1 ?? runs.phase2 ?? runs.base;
  const model = main?.config.model ?? runs.vae!.config.model;
  const source = await openModelSource(model);
  const vaeFolder = runs.vae?.folder ?? main!.config.vae ?? source.folder?.path;
  if (vaeFolder === undefined) throw new UserError("no VAE to export; name the folder of a VAE training too");
  const parts: Partial<Record<ModelPart, PartWriter>> = {
    vae: await vaePart(vaeFolder),
    ...(runs.base ? baseParts(await loadAverages(runs.base.folder)) : {}),
    ...(main ? { phase1: await phase(runs.phase1), phase2: await phase(runs.phase2) } : {}),
  };
  if (source.folder) {
    for (const part of Object.keys(MODEL_FILES) as ModelPart[]) {
      const isOwn =
        part in parts && !(part === "phase1" && !runs.phase1) && !(part === "phase2" && !runs.phase2);
      const file = join(source.folder.path, MODEL_FILES[part]);
      if (!isOwn && (await exists(file))) parts[part] = copyOf(file);
    }
  }
  await writeModelFolder(out, {
    description: describeModel({
      name: name ?? basename(out),
      source,
      vae: (await openVaeFiles(vaeFolder)).config,
      ...(main ? { size: await sizeOfClips(main.config), config: main.config } : VAE_ALONE),
    }),
    tokenizer: tokenizerPart(source, copyOf),
    parts,
  });
  const { path } = await openModelFolder(out);
  const missing = (Object.keys(MODEL_FILES) as ModelPart[]).filter((part) => !(part in parts));
  return { path, missing };
}

/** Until there is a denoiser: what datasets are made like unless they are told otherwise. */
const VAE_ALONE = {
  size: { width: 128, height: 192, fps: 16 },
  config: {
    stages: [{ untilStep: 1, latentFrames: 9, batch: 1 }],
    shift: 5,
    generation: { fps: null, steps: 25, guidanceScale: 5, negativePrompt: "", sharing: null },
  },
} satisfies Pick<DescribedModel, "size" | "config">;

async function sizeOfClips(config: DenoiserConfig): Promise<{ width: number; height: number; fps: number }> {
  const { width, height } = config;
  const { fps } = config.generation;
  if (width !== null && height !== null && fps !== null) return { width, height, fps };
  const index = await readDatasetIndex(config.dataset.folder);
  return { width: width ?? index.width, height: height ?? index.height, fps: fps ?? index.fps };
}

async function sortRuns(folders: readonly string[]): Promise<Runs> {
  const runs: Runs = {};
  for (const folder of folders) {
    const config = await readRunConfig(folder);
    const known = runs[config.kind];
    if (known) {
      throw new UserError(
        `${known.folder} and ${folder} are both trainings of kind ${config.kind}; name one of them`,
      );
    }
    if (config.kind === "vae") runs.vae = { folder, config };
    else runs[config.kind] = { folder, config };
  }
  if (Object.keys(runs).length === 0) throw new UserError("no folder of a training was named");
  return runs;
}

async function phase(training: DenoiserTraining | undefined): Promise<PartWriter> {
  if (!training) return phasePart(null, null);
  const { folder, config } = training;
  return phasePart(await loadAverages(folder), "lora" in config ? config.lora : null);
}

async function vaePart(folder: string): Promise<PartWriter> {
  if (await isModelFolder(folder)) return copyOf(join(folder, MODEL_FILES.vae));
  return halfPrecision(await readTensors(await openCheckpoint(join(folder, VAE_WEIGHTS))));
}
