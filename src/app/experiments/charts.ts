/** Plots of experiments: a panel for each figure, in one SVG file. */
import * as Plot from "@observablehq/plot";
import { ACCENT, INK } from "../charts.ts";
import { EXPERIMENT_METRICS, type ExperimentFigures, type ExperimentMetric } from "./figures.ts";
import type { LoraRanks } from "./lora-ranks.ts";
import { panelSheet } from "./panels.ts";
import type { Phase1Curve } from "./phase1-curve.ts";

const CURVE_METRICS = Object.keys(EXPERIMENT_METRICS) as ExperimentMetric[];
const RANK_METRICS: readonly ExperimentMetric[] = ["ssim", "frechet"];

/** The figures over the steps of the training, with lines for what they are to be compared with. */
export function curvePlot({ baselines, withoutSkeleton, points }: Phase1Curve): string {
  const { truth, vae, reference } = baselines;
  return sheet(CURVE_METRICS, (metric) => ({
    x: { label: "step" },
    marks: [
      ...levelMarks({ VAE: vae, reference, "no skeleton": withoutSkeleton }, metric),
      // Only how well poses can be found in it is news of the truth.
      ...(metric === "pck10" || metric === "armsPck10" ? levelMarks({ truth }, metric) : []),
      Plot.lineY(points, { x: "step", y: valueOf(metric), stroke: INK, strokeWidth: 2, marker: "dot" }),
    ],
  }));
}

/** The figures over the ranks: a dot for each seed, a line through the means. */
export function ranksPlot({ baselines, start, ranks }: LoraRanks): string {
  const runs = ranks.flatMap(({ rank, seeds }) => seeds.map(({ figures }) => ({ rank, figures })));
  return sheet(RANK_METRICS, (metric) => ({
    x: { label: "rank", type: "point" },
    marks: [
      ...levelMarks({ VAE: baselines.vae, start }, metric),
      Plot.lineY(
        runs,
        Plot.groupX({ y: "mean" }, { x: "rank", y: valueOf(metric), stroke: INK, strokeWidth: 2 }),
      ),
      Plot.dot(runs, { x: "rank", y: valueOf(metric), fill: INK }),
    ],
  }));
}

function valueOf(metric: ExperimentMetric) {
  return ({ figures }: { readonly figures: ExperimentFigures }): number | undefined => figures[metric];
}

/** Lines across, by their labels; none for what could not be measured. */
function levelMarks(
  figures: Readonly<Record<string, ExperimentFigures>>,
  metric: ExperimentMetric,
): Plot.Markish[] {
  const levels = Object.entries(figures).flatMap(([label, { [metric]: value }]) =>
    value === undefined ? [] : [{ label, value }],
  );
  return [
    Plot.ruleY(levels, { y: "value", stroke: ACCENT, strokeDasharray: "4 3" }),
    Plot.text(levels, {
      y: "value",
      text: "label",
      frameAnchor: "right",
      textAnchor: "end",
      dy: -6,
      fill: ACCENT,
    }),
  ];
}

function sheet(
  metrics: readonly ExperimentMetric[],
  optionsFor: (metric: ExperimentMetric) => Plot.PlotOptions,
): string {
  return panelSheet(
    metrics.map((metric) => ({ title: EXPERIMENT_METRICS[metric].title, options: optionsFor(metric) })),
  );
}
