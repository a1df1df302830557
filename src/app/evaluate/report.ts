/** The evaluation in words and tables, as Markdown and as JSON. */
import type { Evaluation } from "./evaluate.ts";
import {
  type ClipFigures,
  type Figures,
  type MetricFormat,
  SHARING_METRICS,
  SHARING_VIDEOS,
  VIDEOS,
  VIDEO_METRICS,
  type VideoName,
  meanFigures,
} from "./figures.ts";
import { SHEET_COLUMNS } from "./contact-sheet.ts";

/** Means over all clips, then each clip. The same evaluation gives the same text. */
export function jsonReport({ model, modelHash, settings, clips }: Evaluation): string {
  const means = { videos: videoMeans(clips), sharing: sharingMeans(clips) };
  return `${JSON.stringify({ model, modelHash, settings, means, clips }, null, 1)}\n`;
}

export function markdownReport(evaluation: Evaluation): string {
  const { model, modelHash, settings, clips } = evaluation;
  const { numFrames, width, height, fps, steps, seed, poseStep, poseQuality, numTrainingClips } = settings;
  return `${[
    `# ${model} on ${clips.length} held-out clips`,
    `Model \`${modelHash.slice(0, 16)}\`; clips of ${numFrames} frames of ${width}x${height} at ${fps} per second: ` +
      `${steps} denoising steps, seed ${seed}. The clips are rendered people, places and dances that no training ` +
      "has seen. The model is given a picture of the person standing in the place, the caption, and the exact " +
      "poses; it generates two base segments and the interpolated one between them.",
    "## Beside the truth",
    table(VIDEOS, videoMeans(clips), VIDEO_METRICS, "video"),
    "Means over the clips of the means over their frames. PSNR, SSIM and L1 (as a share of 255) are those of whole " +
      "pictures and of the pixels that the person covers at least half. PCK@a is the share of joints that the pose " +
      `network (${poseQuality}, on every ${ordinal(Number(poseStep))} frame, enlarged, searched anew) finds within a ` +
      "times the longer side of the box around the true joints. Joints that count: the 18 of OpenPose where they lie " +
      'inside the picture, on the head where they do not look away; "arms" are elbows and wrists. In a frame without ' +
      'a pose all joints count as wrong; "no pose" is the share of such frames. The row of the true frames is the ' +
      "ceiling of PCK, that of the VAE the ceiling of the rest. The nearest training clip is, for every stretch of a " +
      `training clip's length, the one of ${numTrainingClips} whose joints are nearest. Consistency is the SSIM of ` +
      "neighbouring frames; seam jump is the change at the borders of segments over the median change elsewhere.",
    victories(clips),
    "## KV-sharing",
    table(SHARING_VIDEOS, sharingMeans(clips), SHARING_METRICS, "base segments"),
    "Of the second base segment, in frames that no other segment overlaps. The first column compares its background " +
      "with that of the anchor, where both are background by the exact masks: the camera stands still, so that the " +
      "truth differs only by the person's shadow. The others compare it with the truth.",
    "## Clip by clip",
    clipTable(clips),
    `In the contact sheet every row is a clip: ${SHEET_COLUMNS.join(", ")}; three times each but for the reference.`,
  ].join("\n\n")}\n`;
}

function videoMeans(clips: readonly ClipFigures[]) {
  return meansByName(VIDEOS, (name) => clips.map(({ videos }) => videos[name]));
}

function sharingMeans(clips: readonly ClipFigures[]) {
  return meansByName(SHARING_VIDEOS, (name) => clips.map(({ sharing }) => sharing[name]));
}

function meansByName<K extends string, M extends string>(
  names: Readonly<Record<K, string>>,
  figuresOf: (name: K) => readonly Figures<M>[],
): Record<K, Figures<M>> {
  const keys = Object.keys(names) as K[];
  return Object.fromEntries(keys.map((name) => [name, meanFigures(figuresOf(name))])) as Record<
    K,
    Figures<M>
  >;
}

/** One row for each name, one column for each metric. */
function table<K extends string, M extends string>(
  names: Readonly<Record<K, string>>,
  figures: Readonly<Record<K, Figures<M>>>,
  metrics: Readonly<Record<M, MetricFormat>>,
  heading: string,
): string {
  const columns = Object.entries(metrics) as [M, MetricFormat][];
  const rows = (Object.entries(names) as [K, string][]).map(([name, title]) => [
    title,
    ...columns.map(([metric, format]) => cell(figures[name][metric], format)),
  ]);
  return markdownTable([heading, ...columns.map(([, { title }]) => title)], rows);
}

function clipTable(clips: readonly ClipFigures[]): string {
  const pckOf = ({ videos }: ClipFigures, name: VideoName): string =>
    cell(videos[name].pck10, VIDEO_METRICS.pck10);
  const headings = [
    "clip",
    "caption",
    "shot",
    "PSNR, dB",
    "SSIM",
    "PCK@0.1",
    "… truth",
    "… reference",
    "… nearest",
  ];
  const rows = clips.map((clip) => [
    String(clip.index),
    clip.caption,
    clip.shot ?? "–",
    cell(clip.videos.generated.psnr, VIDEO_METRICS.psnr),
    cell(clip.videos.generated.ssim, VIDEO_METRICS.ssim),
    ...(["generated", "truth", "reference", "nearest"] as const).map((name) => pckOf(clip, name)),
  ]);
  return markdownTable(headings, rows);
}

/** On how many clips the model is better than what needs no model. */
function victories(clips: readonly ClipFigures[]): string {
  const count = (baseline: VideoName): number =>
    clips.filter(({ videos }) => (videos.generated.pck10 ?? 0) > (videos[baseline].pck10 ?? 0)).length;
  return (
    `By PCK@0.1 the model is better than the repeated reference on ${count("reference")} of ${clips.length} clips, ` +
    `than the nearest training clip on ${count("nearest")}.`
  );
}

/** A figure, or a dash. */
export function cell(value: number | undefined, { digits }: MetricFormat): string {
  return value === undefined ? "–" : value.toFixed(digits);
}

export function markdownTable(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  const isNumber = (column: number): boolean => rows.every((row) => /^(?:-?[\d.]+|–)$/.test(row[column]!));
  const rule = headings.map((_, column) => (isNumber(column) ? "---:" : "---"));
  return [line(headings), line(rule), ...rows.map(line)].join("\n");
}

function ordinal(n: number): string {
  const suffix =
    n % 10 === 1 && n !== 11
      ? "st"
      : n % 10 === 2 && n !== 12
        ? "nd"
        : n % 10 === 3 && n !== 13
          ? "rd"
          : "th";
  return `${n}${suffix}`;
}
