/** The page of `posegen dataset stats`: one HTML file with its pictures and charts inside. */
import type { DatasetClip } from "../../training/dataset-index.ts";
import { type ChartDocument, chartDocument } from "../charts.ts";
import { figure, htmlPage, jpegImage, table } from "../html-page.ts";
import type { DatasetMeasures } from "./dataset-stats.ts";
import { reasonCounts } from "./reason-counts.ts";
import { bars, channelRanges, coverageMap, histogram } from "./stats-charts.ts";

/** Words and videos that are shown, at most; and left-out clips that are listed. */
const MAX_BARS = 30;
const MAX_LISTED = 500;

export function statsPage(measures: DatasetMeasures): string {
  const document = chartDocument();
  const { index, poses, coverage, latents, bodyGrid, handGrid } = measures;
  const numbers = (values: readonly number[], label: string, caption: string, largest?: number) =>
    figure(histogram(document, values, label, largest), caption);
  const poseCharts = [
    figure(
      coverageMap(document, bodyGrid),
      "Where joints of the body are. Only points that are drawn count.",
    ),
    figure(coverageMap(document, handGrid), "Where points of hands are."),
    numbers(
      poses.map(({ motion }) => motion),
      "pixels per frame",
      "Motion: mean way of a joint from one frame to the next.",
    ),
    numbers(
      poses.map(({ height }) => height),
      "share of the height",
      "Size: height of the box around the body's points.",
      1,
    ),
    ...(["leftHand", "rightHand"] as const).map((side) =>
      numbers(
        poses.map((clip) => clip[side]),
        "share of the frames",
        `The ${side === "leftHand" ? "left" : "right"} hand is seen.`,
        1,
      ),
    ),
  ];
  const words = bars(document, wordCounts(index.clips), "captions");
  return htmlPage("Dataset", [
    `<h1>${index.clips.length} clips</h1>`,
    table(factsOf(measures)),
    samplesOf(measures),
    "<h2>People</h2>",
    poses.length > 0 ? poseCharts.join("\n") : "<p>This dataset was made without poses.</p>",
    numbers(coverage, "share of the latents", "Cells that the person covers at least half.", 1),
    "<h2>Captions</h2>",
    figure(words, "The most frequent words of four letters and more."),
    videosOf(measures, document),
    "<h2>Latents of the videos</h2>",
    figure(
      channelRanges(document, latents),
      "Normalised latents should lie around 0 with a deviation near 1.",
    ),
    rejectedOf(measures),
  ]);
}

function factsOf({ index, numPresent, numMeasured }: DatasetMeasures): [string, string][] {
  const { kind, width, height, fps, numFrames, headFrames, tailFrames, settings, clips, rejected } = index;
  const kept = headFrames + tailFrames === 0 ? "none" : `${headFrames} first, ${tailFrames} last`;
  const seconds = (clips.length * numFrames) / fps;
  return [
    ["made of", kind === "video" ? "videos" : "rendered people"],
    [
      "each clip",
      `${numFrames} frames of ${width}x${height} at ${fps} per second, ${(numFrames / fps).toFixed(2)} s`,
    ],
    ["in all", `${(seconds / 60).toFixed(1)} min`],
    ["frames that replace the conditions", kept],
    ["different captions", String(new Set(clips.map(({ caption }) => caption)).size)],
    ["left out", String(rejected.length)],
    ...(numPresent < clips.length ? [["finished so far", String(numPresent)] as [string, string]] : []),
    ...(numMeasured < numPresent ? [["measured", `${numMeasured}, evenly spaced`] as [string, string]] : []),
    ...Object.entries(settings).map(([name, value]): [string, string] => [name, String(value)]),
  ];
}

function samplesOf({ samples, index }: DatasetMeasures): string {
  const figures = samples.map(({ index: i, picture }) => {
    const { caption } = index.clips[i]!;
    return figure(jpegImage(picture), `${i}: ${caption}`);
  });
  const text =
    figures.length > 0
      ? "Decoded from the latents: the reference; beside it frames of the video, their skeletons, their hand normals."
      : "Name the model that encoded the clips with --model to see some of them here.";
  return `<h2>Samples</h2>\n<p>${text}</p>\n${figures.join("\n")}`;
}

/** Which videos the clips came from. */
function videosOf({ index }: DatasetMeasures, document: ChartDocument): string {
  const counts = new Map<string, number>();
  for (const { source } of index.clips) {
    if ("video" in source) counts.set(source.video, (counts.get(source.video) ?? 0) + 1);
  }
  if (counts.size === 0) return "";
  const rows = [...counts].map(([name, count]) => ({ name, count })).sort((a, b) => b.count - a.count);
  const drawing = bars(document, rows.slice(0, MAX_BARS), "clips");
  return figure(drawing, `Videos that gave most of the clips, of ${counts.size}.`);
}

function rejectedOf({ index: { rejected } }: DatasetMeasures): string {
  if (rejected.length === 0) return "";
  const kinds = table(reasonCounts(rejected).map(({ reason, count }) => [String(count), reason]));
  const rows = rejected.slice(0, MAX_LISTED).map(({ video, startS, reason }): [string, string, string] => {
    return [video, startS === null ? "" : `${startS.toFixed(2)} s`, reason];
  });
  const more =
    rejected.length > MAX_LISTED ? `<p>${rejected.length - MAX_LISTED} more stand in dataset.json.</p>` : "";
  return `<h2>Left out</h2>\n${kinds}\n<details><summary>Each of them</summary>\n${table(rows)}\n${more}</details>`;
}

/** Captions that contain a word, by word. */
function wordCounts(clips: readonly DatasetClip[]): { name: string; count: number }[] {
  const counts = new Map<string, number>();
  for (const { caption } of clips) {
    for (const word of new Set(caption.toLowerCase().match(/\p{L}{4,}/gu))) {
      counts.set(word, (counts.get(word) ?? 0) + 1);
    }
  }
  const sorted = [...counts].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
  return sorted.slice(0, MAX_BARS).map(([name, count]) => ({ name, count }));
}
