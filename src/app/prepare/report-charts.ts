/** Charts of what was found in a driving video, as SVG elements. Times are seconds of the result. */
import * as Plot from "@observablehq/plot";
import { SURVEY_INTERVAL_S } from "../../perception/survey.ts";
import { STILL, type Stillness } from "../../pipeline/anchor.ts";
import type { Preparation } from "../../pipeline/prepare.ts";
import { ACCENT, BASE, type ChartDocument, INK, svg } from "../charts.ts";
import type { ConfidencePoint } from "./confidence.ts";

const WIDTH = 720;
const ROW_HEIGHT = 26;

const ABSENT = "#f3d9d5";
const CUT = { stroke: "#999", strokeDasharray: "4 3" } as const;

/** When each of the people is seen, and which of them is followed. */
export function peopleChart(
  document: ChartDocument,
  { people, followed, cutsS, numFrames, fps }: Preparation,
  startS: number,
): string {
  const durationS = numFrames / fps;
  // Whoever is seen is there until they are looked for again.
  const bars = people.flatMap(({ number, stretches }) =>
    stretches.map(({ fromS, toS }) => ({
      person: number,
      from: fromS - startS,
      to: Math.min(durationS, toS - startS + SURVEY_INTERVAL_S),
    })),
  );
  return svg(
    Plot.plot({
      ...BASE,
      document,
      width: WIDTH,
      height: 50 + ROW_HEIGHT * people.length,
      x: { label: "seconds", domain: [0, durationS] },
      y: { label: "person", type: "band", domain: people.map(({ number }) => number) },
      marks: [
        Plot.barX(bars, {
          x1: "from",
          x2: "to",
          y: "person",
          fill: ({ person }: { person: number }) => (person === followed ? ACCENT : INK),
        }),
        Plot.ruleX(cutsS, CUT),
      ],
    }),
  );
}

/** How sure the networks are of the followed person, a row for each part. Lines break where a part is not seen. */
export function confidenceChart(
  document: ChartDocument,
  points: readonly ConfidencePoint[],
  { absences, cutsS, numFrames, fps }: Preparation,
): string {
  return svg(
    Plot.plot({
      ...BASE,
      document,
      width: WIDTH,
      height: 300,
      marginRight: 70,
      x: { label: "seconds", domain: [0, numFrames / fps] },
      y: { label: "confidence", domain: [0, 1], ticks: [0, 0.5, 1], grid: true },
      fy: { label: null, domain: ["body", "left hand", "right hand"] },
      marks: [
        Plot.rectX([...absences], {
          x1: "fromS",
          x2: ({ toS }: { toS: number }) => toS + 1 / fps,
          fill: ABSENT,
        }),
        Plot.ruleX(cutsS, CUT),
        Plot.line([...points], { x: "timeS", y: "confidence", z: null, fy: "part", stroke: INK }),
      ],
    }),
  );
}

/** What moves in the background of each base segment, against what counts as still; the anchor stands out. */
export function stillnessChart(
  document: ChartDocument,
  stillness: readonly Stillness[],
  anchor: number,
  measure: keyof typeof STILL,
): string {
  const label = { cameraMotion: "% of the picture", backgroundChange: "% of the brightness" }[measure];
  const bars = stillness.map((each) => ({ segment: each.segment, percent: 100 * each[measure] }));
  const fill = ({ segment }: { segment: number }): string => (segment === anchor ? ACCENT : INK);
  const marks = [
    Plot.barY(bars, { x: "segment", y: "percent", fill }),
    Plot.ruleY([100 * STILL[measure]], { strokeDasharray: "4 3" }),
    Plot.ruleY([0]),
  ];
  return svg(
    Plot.plot({
      ...BASE,
      document,
      x: { label: "base segment", type: "band" },
      y: { label, grid: true },
      marks,
    }),
  );
}
