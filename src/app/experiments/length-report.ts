/** How long videos keep: tables, as Markdown. */
import { type MetricFormat, VIDEOS } from "../evaluate/figures.ts";
import { cell, markdownTable } from "../evaluate/report.ts";
import { LONG_VIDEOS, type LongVideo } from "./long-clip.ts";
import { type MeasuredSpan, SPAN_METRICS, type SpanMetric } from "./spans.ts";
import type { VideoLength } from "./video-length.ts";

const METRICS = Object.entries(SPAN_METRICS) as [SpanMetric, MetricFormat][];

const CHANGE: MetricFormat = { title: "", digits: 2 };

export function lengthMarkdown({ model, modelHash, settings, lengths, windows, clips }: VideoLength): string {
  const { numClips, width, height, fps, numFrames, segmentFrames, steps, guidanceScale, seed } = settings;
  const [shortest, longest] = [lengths[0]!, lengths.at(-1)!];
  const clipRows = clips.flatMap((clip) =>
    (["truth", "generated"] as const).map((video) => [
      String(clip.index),
      clip.caption,
      VIDEOS[video],
      ...consistencies(clip.lengths, video),
    ]),
  );
  const seconds = lengths.map(({ toS }) => `${toS} s`);
  const change = `${longest.toS} s against ${shortest.toS} s, %`;
  return `${[
    `# Longer and longer videos of ${model}`,
    `Model \`${modelHash.slice(0, 16)}\`; ${numClips} held-out ${numClips === 1 ? "clip" : "clips"} of ${numFrames} ` +
      `frames of ${width}x${height} at ${fps} per second, in segments of ${segmentFrames}: ${steps} denoising steps, ` +
      `guidance ${guidanceScale}, seed ${seed}. The clips are rendered people, places and dances that no training has ` +
      "seen; a dance goes on without repeating. Each is generated once, at full length, as `generate` does it.",
    "## Temporal consistency",
    markdownTable(
      ["video", ...seconds, change],
      LONG_VIDEOS.map((video) => [VIDEOS[video], ...consistencies(lengths, video)]),
    ),
    "Mean cosine similarity of the features of neighbouring frames, over the first seconds up to each length. Features " +
      "are the VAE's latents of single frames; the paper's are those of DINO on other videos, and its Tab. 5 has 0.951, " +
      "0.952, 0.952, 0.951 at 10, 30, 60 and 90 s. Motion lowers the figure, blur and stillness raise it, and what " +
      "changes slowly hardly shows: it is to be read beside the truth's, and with what follows.",
    "## The first seconds",
    spanTable(lengths),
    "Means over the clips. The first frame has another pose, in the truth too. A seam jump is the mean change at the " +
      "borders of segments over the median change elsewhere; the other two videos are measured at the same frames. " +
      "PSNR is that of the pixels that the person does not cover, and of those that it covers at least half. The " +
      "identity distance is between mean latents over the person, of single frames and of the reference: 1 is what " +
      "different people have in the mean, and the truth's is what another pose alone makes.",
    "## Window by window",
    spanTable(windows),
    "## Temporal consistency, clip by clip",
    markdownTable(["clip", "caption", "video", ...seconds, change], clipRows),
    "In the contact sheet every clip has two rows, the truth and below it what was generated: the reference, then a " +
      "frame every 5 seconds, and the last one.",
  ].join("\n\n")}\n`;
}

/** The temporal consistency at each length, and how much the last differs from the first in percent. */
function consistencies(lengths: readonly MeasuredSpan[], video: LongVideo): string[] {
  const values = lengths.map(({ videos }) => videos[video].consistency);
  const [first, last] = [values[0], values.at(-1)];
  const change = first === undefined || last === undefined ? undefined : 100 * (last / first - 1);
  return [...values.map((value) => cell(value, SPAN_METRICS.consistency)), cell(change, CHANGE)];
}

/** A row for each figure and video, a column for each stretch. */
function spanTable(spans: readonly MeasuredSpan[]): string {
  const headings = spans.map(({ fromS, toS }) => `${fromS}–${toS} s`);
  const rows = METRICS.flatMap(([metric, format]) =>
    LONG_VIDEOS.filter((video) => spans.some(({ videos }) => videos[video][metric] !== undefined)).map(
      (video) => [
        format.title,
        VIDEOS[video],
        ...spans.map(({ videos }) => cell(videos[video][metric], format)),
      ],
    ),
  );
  return markdownTable(["figure", "video", ...headings], rows);
}
