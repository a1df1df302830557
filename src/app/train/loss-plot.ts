/** Draws a run's log: `loss.svg` in its folder. */
import { join } from "node:path";
import * as Plot from "@observablehq/plot";
import { parseHTML } from "linkedom";
import { writeFileAtomically } from "../../files/atomic-file.ts";
import type { StepReport } from "../../training/train.ts";
import { readStepLog } from "../../training/step-log.ts";

export const LOSS_PLOT = "loss.svg";

/** Points drawn at most; longer logs are drawn as means of neighbours. */
const MAX_POINTS = 1000;
/** Share of the log that the smooth line's mean reaches over. */
const SMOOTHING = 0.05;

interface Point {
  readonly step: number;
  readonly loss: number;
}

/** Draws the loss of a run over its steps, with a smooth line; nothing when no step has been logged. */
export async function writeLossPlot(folder: string): Promise<void> {
  const reports = await readStepLog(folder);
  if (reports.length === 0) return;
  const svg = lossPlot(reports);
  await writeFileAtomically(join(folder, LOSS_PLOT), (handle) => handle.writeFile(svg));
}

/** The text of an SVG file. */
export function lossPlot(reports: readonly StepReport[]): string {
  const points = thinOut(reports.map(({ step, metrics }) => ({ step, loss: metrics["loss"]! })));
  const { document } = parseHTML("<html></html>");
  const chart = Plot.plot({
    document,
    width: 720,
    height: 360,
    style: { background: "white", color: "black" },
    x: { label: "step" },
    y: { label: "loss", type: points.every(({ loss }) => loss > 0) ? "log" : "linear", grid: true },
    marks: [
      Plot.line(points, { x: "step", y: "loss", stroke: "#9ecae1" }),
      Plot.line(
        points,
        Plot.windowY(
          { k: Math.max(1, Math.round(SMOOTHING * points.length)), anchor: "middle" },
          { x: "step", y: "loss", stroke: "#08519c", strokeWidth: 2 },
        ),
      ),
    ],
  });
  chart.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  return `${chart.outerHTML}\n`;
}

function thinOut(points: readonly Point[]): Point[] {
  const size = Math.ceil(points.length / MAX_POINTS);
  return Array.from({ length: Math.ceil(points.length / size) }, (_, i) => {
    const group = points.slice(i * size, (i + 1) * size);
    return { step: group.at(-1)!.step, loss: group.reduce((sum, { loss }) => sum + loss, 0) / group.length };
  });
}
