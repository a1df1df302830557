/** Plot of long videos: a panel for each figure, window after window. */
import * as Plot from "@observablehq/plot";
import { ACCENT, INK } from "../charts.ts";
import type { LongVideo } from "./long-clip.ts";
import { panelSheet } from "./panels.ts";
import { type MeasuredSpan, SPAN_METRICS, type SpanMetric } from "./spans.ts";
import type { VideoLength } from "./video-length.ts";

/** In the order in which they are drawn: the last lies above the others. */
const LINES: readonly { readonly video: LongVideo; readonly label: string; readonly color: string }[] = [
  { video: "truth", label: "truth", color: "#6b7280" },
  { video: "vae", label: "VAE", color: ACCENT },
  { video: "generated", label: "generated", color: INK },
];

/** Pixels from one label of the legend to the next. */
const LABEL_WIDTH = 60;

/** Means over the clips as lines with dots, and what was generated of each clip as faint ones. */
export function lengthPlot({ windows, clips }: VideoLength): string {
  const metrics = Object.keys(SPAN_METRICS) as SpanMetric[];
  return panelSheet(
    metrics.map((metric) => ({
      title: SPAN_METRICS[metric].title,
      options: {
        marginBottom: 36,
        x: { label: "seconds" },
        marks: [
          clips.map((clip) =>
            Plot.lineY(pointsOf(clip.windows, "generated", metric), {
              x: "time",
              y: "value",
              stroke: INK,
              strokeOpacity: 0.25,
            }),
          ),
          LINES.map(({ video, label, color }, i) => [
            Plot.lineY(pointsOf(windows, video, metric), {
              x: "time",
              y: "value",
              stroke: color,
              strokeWidth: 2,
              marker: "dot",
            }),
            Plot.text([label], {
              frameAnchor: "bottom-left",
              dx: i * LABEL_WIDTH,
              dy: 34,
              fill: color,
            }),
          ]),
        ],
      },
    })),
  );
}

/** Values at the middles of windows; none for what could not be measured. */
function pointsOf(windows: readonly MeasuredSpan[], video: LongVideo, metric: SpanMetric) {
  return windows.flatMap(({ fromS, toS, videos: { [video]: figures } }) => {
    const value = figures[metric];
    return value === undefined ? [] : [{ time: (fromS + toS) / 2, value }];
  });
}
