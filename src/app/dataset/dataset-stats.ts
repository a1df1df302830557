/** Looks at a dataset: measures its clips, and writes a page about them. */
import { join } from "node:path";
import { writeFileAtomically } from "../../files/atomic-file.ts";
import { exists } from "../../files/exists.ts";
import { encodeImage } from "../../media/image.ts";
import { UserError } from "../../tensor/errors.ts";
import { ClipDataset } from "../../training/dataset.ts";
import type { DatasetIndex } from "../../training/dataset-index.ts";
import { type ChannelStatistics, LatentStatistics } from "../../training/latent-statistics.ts";
import { identifyEncoders, openEncoders } from "./encoders.ts";
import { CoverageGrid, type PoseFigures, poseFigures } from "./pose-figures.ts";
import { sampleSheet } from "./sample-sheet.ts";
import { statsPage } from "./stats-page.ts";

/** Larger datasets are measured on this many clips, evenly spaced. */
const MAX_MEASURED = 2000;

const DEFAULT_SAMPLES = 6;

/** Cells of the maps of joints along the longer side of the picture. */
const GRID = 48;

export interface ClipSample {
  readonly index: number;
  /** A JPEG. */
  readonly picture: Buffer;
}

/** What was measured. */
export interface DatasetMeasures {
  readonly folder: string;
  readonly index: DatasetIndex;
  /** Clips whose files are there; fewer than the index names while they are being rendered. */
  readonly numPresent: number;
  readonly numMeasured: number;
  /** Of the measured clips that have poses. */
  readonly poses: readonly PoseFigures[];
  readonly bodyGrid: CoverageGrid;
  readonly handGrid: CoverageGrid;
  /** Share of the latent cells that the person covers at least half, by clip. */
  readonly coverage: readonly number[];
  readonly latents: readonly ChannelStatistics[];
  /** Empty where no model was given. */
  readonly samples: readonly ClipSample[];
}

export interface StatsOptions {
  /** Model folder that encoded the clips: decodes some of them. */
  readonly model?: string | undefined;
  /** The HTML file; `stats.html` in the folder by default. */
  readonly out?: string | undefined;
  readonly numSamples?: number | undefined;
}

/**
 * Measures a dataset and writes a page of pictures and figures that needs no other file.
 * @returns what was measured, and the page's path
 * @throws UserError when the folder holds no dataset, or the model is not the one that encoded it
 */
export async function datasetStats(
  folder: string,
  { model, out = join(folder, "stats.html"), numSamples = DEFAULT_SAMPLES }: StatsOptions = {},
): Promise<DatasetMeasures & { readonly page: string }> {
  const dataset = await ClipDataset.open(folder, { memoryBytes: 0 });
  const present = await presentClips(dataset);
  if (present.length === 0) throw new UserError(`${folder} has no clips yet; expected at least one`);
  const samples = model === undefined ? [] : await decodeSamples(dataset, model, spread(present, numSamples));
  const measures = { folder, ...(await measure(dataset, present)), samples };
  const page = statsPage(measures);
  await writeFileAtomically(out, (handle) => handle.writeFile(page));
  return { ...measures, page: out };
}

async function presentClips({ folder, index }: ClipDataset): Promise<number[]> {
  const files = new Map<string, boolean>();
  const present: number[] = [];
  for (const [i, { file }] of index.clips.entries()) {
    if (!files.has(file)) files.set(file, await exists(join(folder, file)));
    if (files.get(file)) present.push(i);
  }
  return present;
}

/** At most `count` elements, evenly spaced. */
function spread(list: readonly number[], count: number): number[] {
  const taken = Math.min(count, list.length);
  return Array.from({ length: taken }, (_, i) => list[Math.floor(((i + 0.5) * list.length) / taken)]!);
}

async function measure(
  dataset: ClipDataset,
  present: readonly number[],
): Promise<Omit<DatasetMeasures, "folder" | "samples">> {
  const { index, shapes } = dataset;
  const longer = Math.max(index.width, index.height);
  const grid = (): CoverageGrid =>
    new CoverageGrid(Math.ceil((GRID * index.width) / longer), Math.ceil((GRID * index.height) / longer));
  const [bodyGrid, handGrid] = [grid(), grid()];
  const latents = new LatentStatistics(shapes.video[0]!);
  const poses: PoseFigures[] = [];
  const coverage: number[] = [];
  const measured = spread(present, MAX_MEASURED);
  for (const i of measured) {
    const clip = await dataset.clip(i);
    latents.add(clip.video);
    coverage.push(clip.person.filter((share) => share >= 128).length / clip.person.length);
    const points = await dataset.poses(i);
    if (!points) continue;
    poses.push(poseFigures(points, index));
    bodyGrid.add(points, "body");
    handGrid.add(points, "hands");
  }
  return {
    index,
    numPresent: present.length,
    numMeasured: measured.length,
    poses,
    bodyGrid,
    handGrid,
    coverage,
    latents: latents.channels,
  };
}

async function decodeSamples(
  dataset: ClipDataset,
  model: string,
  clips: readonly number[],
): Promise<ClipSample[]> {
  const { fingerprint } = await identifyEncoders(model);
  if (fingerprint !== dataset.index.fingerprint) {
    throw new UserError(
      `${model} did not encode ${dataset.folder}: its VAE or tokenizer is another. Name the model that did.`,
    );
  }
  const encoders = await openEncoders(model);
  try {
    const samples: ClipSample[] = [];
    for (const index of clips) {
      const sheet = await sampleSheet(dataset, index, encoders);
      samples.push({ index, picture: await encodeImage(sheet, "jpeg") });
    }
    return samples;
  } finally {
    await encoders.release();
  }
}
