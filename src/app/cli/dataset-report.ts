/** What a dataset holds, in a few lines. */
import { join } from "node:path";
import { DATASET_JSON, type DatasetIndex } from "../../training/dataset-index.ts";
import type { DatasetMeasures } from "../dataset/dataset-stats.ts";
import { reasonCounts } from "../dataset/reason-counts.ts";
import { printable } from "../../runtime/quote.ts";
import { formatNumber } from "./quantities.ts";
import { textTable } from "./text-table.ts";

export function datasetReport(folder: string, index: Omit<DatasetIndex, "format">): string {
  const { clips, rejected, width, height, fps, numFrames } = index;
  const seconds = (clips.length * numFrames) / fps;
  const made = [
    ["clips", `${clips.length} of ${numFrames} frames of ${width}x${height} at ${formatNumber(fps)} fps`],
    ["length", `${formatNumber(seconds / 60, 1)} min`],
    ["left out", `${rejected.length}`],
    ...reasonCounts(rejected).map(({ reason, count }) => ["", `${count}x ${printable(reason)}`]),
  ];
  const files = [
    [join(folder, DATASET_JSON), "what each clip is, and why others are not there"],
    [`posegen dataset stats ${folder}`, "a page of pictures and figures"],
  ];
  return [textTable(made), "", textTable(files)].join("\n");
}

/** Medians of what was measured. */
export function statsReport({
  index,
  page,
  numMeasured,
  poses,
  coverage,
  latents,
}: DatasetMeasures & { readonly page: string }): string {
  const percent = (values: readonly number[]): string => `${(100 * median(values)).toFixed(0)}%`;
  const mean = (values: readonly number[]): number => values.reduce((sum, x) => sum + x, 0) / values.length;
  const rows = [
    ["clips", `${index.clips.length}, ${numMeasured} of them measured, ${index.rejected.length} left out`],
    ["motion", `${median(poses.map(({ motion }) => motion)).toFixed(2)} pixels per frame`],
    [
      "person",
      `${percent(poses.map(({ height }) => height))} of the height, ${percent(coverage)} of the latents`,
    ],
    ["left hand", `seen in ${percent(poses.map(({ leftHand }) => leftHand))} of the frames`],
    ["right hand", `seen in ${percent(poses.map(({ rightHand }) => rightHand))}`],
    [
      "latents",
      `mean ${mean(latents.map((channel) => channel.mean)).toFixed(3)}, ` +
        `deviation ${mean(latents.map((channel) => channel.deviation)).toFixed(3)} (means over the channels)`,
    ],
  ];
  return [textTable(rows), "", `Medians over the clips. The page: ${page}`].join("\n");
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0;
}
