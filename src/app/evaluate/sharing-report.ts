/** A search for sharing ranges in a table and a sentence, as Markdown and as JSON. */
import { SHARING_METRICS, type SharingMetric } from "./figures.ts";
import { cell, markdownTable } from "./report.ts";
import { OFF, type SharingSearch, candidatesOf, recommend } from "./sharing-search.ts";

/** Means over all clips and the recommendation, then each clip. The same search gives the same text. */
export function sharingJson(search: SharingSearch): string {
  const { model, modelHash, settings, clips } = search;
  const candidates = candidatesOf(search);
  const recommended = recommend(search).name;
  return `${JSON.stringify({ model, modelHash, settings, recommended, candidates, clips }, null, 1)}\n`;
}

export function sharingMarkdown(search: SharingSearch): string {
  const { model, modelHash, settings, clips } = search;
  const metrics = Object.keys(SHARING_METRICS) as SharingMetric[];
  const rows = candidatesOf(search).map(({ name, means, numBetter }) => [
    name,
    ...metrics.map((metric) => cell(means[metric], SHARING_METRICS[metric])),
    name === OFF ? "–" : String(numBetter),
  ]);
  const headings = [
    "steps : blocks",
    ...metrics.map((metric) => SHARING_METRICS[metric].title),
    "clips better",
  ];
  return `${[
    `# Sharing ranges of ${model} on ${clips.length} held-out clips`,
    `Model \`${modelHash.slice(0, 16)}\`; clips of ${settings["numFrames"]} frames, ${settings["steps"]} denoising ` +
      `steps, seed ${settings["seed"]}: the same noise in every row.`,
    markdownTable(headings, rows),
    "Of the second base segment, in frames that no other segment overlaps. The first figure compares its background " +
      "with the anchor's, the others compare with the truth. Better is a clip whose first figure is below that of `off`.",
    recommendation(search),
  ].join("\n\n")}\n`;
}

function recommendation(search: SharingSearch): string {
  const { name, means } = recommend(search);
  const rule =
    "the person's error does not rise and backgrounds come nearer to each other on more than half of the clips";
  if (name === OFF) return `Recommended: \`off\`. There is no candidate with which ${rule}.`;
  const drift = cell(means.backgroundDrift, SHARING_METRICS.backgroundDrift);
  return (
    `Recommended: \`--kv-share ${name}\`, the least difference between backgrounds (${drift}) of the candidates ` +
    `with which ${rule}.`
  );
}
