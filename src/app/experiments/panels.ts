/** Several charts in one SVG file, two beside each other. */
import * as Plot from "@observablehq/plot";
import { BASE, chartDocument, svg } from "../charts.ts";

const WIDTH = 420;
const HEIGHT = 260;
const COLUMNS = 2;

export interface Panel {
  /** What stands at the upright axis. */
  readonly title: string;
  readonly options: Plot.PlotOptions;
}

export function panelSheet(panels: readonly Panel[]): string {
  const charts = panels.map(({ title, options }, i) => {
    const chart = Plot.plot({
      ...BASE,
      width: WIDTH,
      height: HEIGHT,
      marginTop: 28,
      // Charts fill what they stand in unless they are told not to.
      style: {
        background: "none",
        color: "black",
        width: `${WIDTH}px`,
        height: `${HEIGHT}px`,
        maxWidth: "none",
      },
      y: { label: title, grid: true, zero: false, nice: true },
      document: chartDocument(),
      ...options,
    });
    chart.setAttribute("x", String((i % COLUMNS) * WIDTH));
    chart.setAttribute("y", String(Math.floor(i / COLUMNS) * HEIGHT));
    return svg(chart);
  });
  const size = { width: COLUMNS * WIDTH, height: Math.ceil(panels.length / COLUMNS) * HEIGHT };
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" width="${size.width}" height="${size.height}" ` +
    `viewBox="0 0 ${size.width} ${size.height}"><rect width="100%" height="100%" fill="white"/>${charts.join("")}</svg>\n`
  );
}
