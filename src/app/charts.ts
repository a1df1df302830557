/** What all charts of a page have in common. */
import type * as Plot from "@observablehq/plot";
import { parseHTML } from "linkedom";

/** What charts are made in: a page's document. */
export type ChartDocument = NonNullable<Plot.PlotOptions["document"]>;

/** An empty one. */
export function chartDocument(): ChartDocument {
  return parseHTML("<html></html>").document;
}

/** The colour of every mark, and of the one that is meant among others. */
export const INK = "#3b6ea8";
export const ACCENT = "#d9822b";

export const BASE = { width: 340, height: 200, style: { background: "none" }, marginLeft: 48 } as const;

/** The markup of a chart. */
export function svg(chart: {
  setAttribute(name: string, value: string): void;
  readonly outerHTML: string;
}): string {
  chart.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  return chart.outerHTML;
}
