/** The page of `posegen prepare`. */
import type { Preparation } from "../../pipeline/prepare.ts";
import type { PrepareRequest } from "../../pipeline/request.ts";
import { type ChartDocument, chartDocument } from "../charts.ts";
import { formatNumber } from "../cli/quantities.ts";
import { escapeHtml, figure, htmlPage, jpegImage, table } from "../html-page.ts";
import { choicesOf } from "./choices.ts";
import type { ConfidencePoint } from "./confidence.ts";
import { confidenceChart, peopleChart, stillnessChart } from "./report-charts.ts";

/** Everything that the page shows. */
export interface ReportFigures {
  readonly preparation: Preparation;
  readonly request: PrepareRequest;
  readonly confidence: readonly ConfidencePoint[];
  /** The skeleton at some moments, as JPEG: over the driving video, where there is one. */
  readonly moments: readonly { readonly timeS: number; readonly picture: Buffer }[];
  /** The motion over the reference, before and after it was fitted, as JPEG; null without a reference. */
  readonly alignment: Buffer | null;
}

export function reportPage(figures: ReportFigures): string {
  const { preparation, request, confidence, moments, alignment } = figures;
  const document = chartDocument();
  const choices = choicesOf(preparation, request);
  return htmlPage("Driving video", [
    `<h1>${escapeHtml(request.video ?? request.keypoints ?? "")}</h1>`,
    table(factsOf(preparation)),
    ...remarksOf(preparation),
    "<h2>Chosen</h2>",
    table(
      choices.map(({ what, taken, why, flags }) => [what, taken, why, flags]),
      ["", "taken", "because", "otherwise"],
    ),
    "<h2>The skeleton</h2>",
    ...moments.map(({ timeS, picture }) => figure(jpegImage(picture), `${timeS.toFixed(2)} s`)),
    ...peopleOf(figures, document),
    "<h2>Confidence</h2>",
    figure(
      confidenceChart(document, confidence, preparation),
      "Mean confidence of the points of each part. Lines break where the part is not seen; shaded: the person is not " +
        "seen at all; dashed: cuts.",
    ),
    ...backgroundOf(preparation, document),
    ...(alignment === null
      ? []
      : [
          "<h2>Alignment</h2>",
          "<p>The reference with its own skeleton, and the motion at some frames: before, and below after it was fitted.</p>",
          jpegImage(alignment),
        ]),
  ]);
}

function factsOf(preparation: Preparation): [string, string][] {
  const { numFrames, fps, maxPeople, absences, cutsS } = preparation;
  const share = (count: number): string => `found in ${count} of ${numFrames} frames`;
  const list = (times: readonly string[]): string => (times.length > 0 ? `${times.join(", ")} s` : "none");
  return [
    ["length", `${formatNumber(numFrames / fps)} s`],
    ["body", share(preparation.numWithBody)],
    ["left hand", share(preparation.numWithLeftHand)],
    ["right hand", share(preparation.numWithRightHand)],
    ["people at once, at most", String(maxPeople)],
    ["not seen at", list(absences.map(({ fromS, toS }) => `${fromS.toFixed(2)} to ${toS.toFixed(2)}`))],
    ["cuts at", list(cutsS.map((timeS) => timeS.toFixed(2)))],
  ];
}

function remarksOf({ remarks }: Preparation): string[] {
  if (remarks.length === 0) return [];
  return [`<ul>${remarks.map((remark) => `<li>${escapeHtml(remark)}</li>`).join("")}</ul>`];
}

function peopleOf({ preparation, request }: ReportFigures, document: ChartDocument): string[] {
  const { people, followed } = preparation;
  if (people.length === 0) return [];
  const rows = people.map(({ number, at, presence }) => [
    String(number),
    `${at.x},${at.y}`,
    `${Math.round(100 * presence)} %`,
    number === followed ? "followed" : `--person ${number}`,
  ]);
  return [
    "<h2>People</h2>",
    figure(peopleChart(document, preparation, request.start ?? 0), "When each is seen; dashed: cuts."),
    table(rows, ["person", "first seen at pixel", "seen in", ""]),
  ];
}

function backgroundOf({ stillness, anchor }: Preparation, document: ChartDocument): string[] {
  if (stillness.length === 0) return [];
  const chart = (measure: "cameraMotion" | "backgroundChange", caption: string): string =>
    figure(stillnessChart(document, stillness, anchor, measure), caption);
  return [
    "<h2>Background</h2>",
    chart(
      "cameraMotion",
      "How far the camera moves from where each base segment begins, at most. Below the dashed line it is still; the " +
        "anchor stands out.",
    ),
    chart("backgroundChange", "Mean change of the background's brightness from frame to frame."),
  ];
}
