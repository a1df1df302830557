/** Charts of a dataset's figures, as SVG elements. */
import * as Plot from "@observablehq/plot";
import type { ChannelStatistics } from "../../training/latent-statistics.ts";
import { BASE, type ChartDocument, INK, svg } from "../charts.ts";
import type { CoverageGrid } from "./pose-figures.ts";

const NUM_BINS = 25;

/** How often values fall into equal steps of a range: by default from 0 to the largest value. */
export function histogram(
  document: ChartDocument,
  values: readonly number[],
  label: string,
  largest = Math.max(1e-6, ...values),
): string {
  const counts = new Array<number>(NUM_BINS).fill(0);
  for (const value of values) counts[Math.min(NUM_BINS - 1, Math.floor((value / largest) * NUM_BINS))]!++;
  const bins = counts.map((count, i) => {
    return { count, from: (i * largest) / NUM_BINS, to: ((i + 1) * largest) / NUM_BINS };
  });
  const marks = [
    Plot.rectY(bins, { x1: "from", x2: "to", y: "count", fill: INK, insetRight: 1 }),
    Plot.ruleY([0]),
  ];
  return svg(Plot.plot({ ...BASE, document, x: { label }, y: { label: "clips", grid: true }, marks }));
}

/** Horizontal bars, in the order given. */
export function bars(
  document: ChartDocument,
  rows: readonly { readonly name: string; readonly count: number }[],
  label: string,
): string {
  const marks = [
    Plot.barX([...rows], { x: "count", y: "name", fill: INK, sort: { y: null } }),
    Plot.ruleX([0]),
  ];
  const height = 40 + 16 * rows.length;
  return svg(
    Plot.plot({
      ...BASE,
      marginLeft: 110,
      height,
      document,
      x: { label, grid: true },
      y: { label: null },
      marks,
    }),
  );
}

/** A map of the picture: the darker, the more points. */
export function coverageMap(document: ChartDocument, grid: CoverageGrid): string {
  const cells = Array.from(grid.counts, (count, i) => ({
    x: i % grid.columns,
    y: Math.floor(i / grid.columns),
    count,
  })).filter(({ count }) => count > 0);
  const width = 220;
  const marks = [
    Plot.rect(cells, { x1: "x", x2: ({ x }) => x + 1, y1: "y", y2: ({ y }) => y + 1, fill: "count" }),
    Plot.frame(),
  ];
  return svg(
    Plot.plot({
      ...BASE,
      document,
      margin: 4,
      marginLeft: 4,
      width,
      height: Math.round((width * grid.rows) / grid.columns),
      color: { scheme: "blues", type: "sqrt" },
      x: { axis: null, domain: [0, grid.columns] },
      y: { axis: null, domain: [grid.rows, 0] },
      marks,
    }),
  );
}

/** Per channel the mean, and one deviation to either side. */
export function channelRanges(document: ChartDocument, channels: readonly ChannelStatistics[]): string {
  const ranges = channels.map(({ mean, deviation }, channel) => {
    return { channel, mean, low: mean - deviation, high: mean + deviation };
  });
  const marks = [
    Plot.ruleY([-1, 0, 1], { stroke: "#ccc" }),
    Plot.ruleX(ranges, { x: "channel", y1: "low", y2: "high", stroke: INK, strokeWidth: 4 }),
    Plot.dot(ranges, { x: "channel", y: "mean", fill: "black", r: 2.5 }),
  ];
  return svg(
    Plot.plot({
      ...BASE,
      document,
      x: { label: "latent channel" },
      y: { label: "mean and deviation" },
      marks,
    }),
  );
}
