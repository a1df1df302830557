/** Experiments in tables, as Markdown. */
import type { MetricFormat } from "../evaluate/figures.ts";
import { mean } from "../evaluate/figures.ts";
import { cell, markdownTable } from "../evaluate/report.ts";
import type { Comparison } from "./compare-models.ts";
import { EXPERIMENT_METRICS, type ExperimentFigures, type ExperimentMetric } from "./figures.ts";
import type { LoraRanks } from "./lora-ranks.ts";
import { BASELINES, type Baseline } from "./measure.ts";
import type { Phase1Curve } from "./phase1-curve.ts";
import type { VideoLength } from "./video-length.ts";

/** Rows that need no denoiser. */
export const BASELINE_TITLES: Readonly<Record<Baseline, string>> = {
  truth: "the true frames",
  vae: "VAE reconstruction of the truth",
  reference: "reference frame repeated",
};

/** FVD at ranks of the paper's Tab. 6. Of another data set, another network's features, and thousands of clips. */
const PAPER_FVD: Readonly<Record<number, number>> = { 1: 465, 4: 443, 16: 364, 64: 322 };

const METRICS = Object.entries(EXPERIMENT_METRICS) as [ExperimentMetric, MetricFormat][];
const TITLES = METRICS.map(([, { title }]) => title);

const EXPLANATION =
  "Means over the clips; PCK, PSNR and SSIM as in `npm run evaluate`. The identity distance is that of the mean VAE " +
  "latents over the person to those of the truth: 0 is the same, 1 what different people have in the mean, about 0.7 a blur between all of them. The Fréchet " +
  "distance is that between the clips and the true ones, by means and deviations of the latent channels; it is biased " +
  "for few clips, so that only values from equally many compare.";

export function curveMarkdown(curve: Phase1Curve): string {
  const { withoutSkeleton, points } = curve;
  const numSteps = points.at(-1)!.step;
  const rows = [
    ...baselineRows(curve, (title, figures) => [title, "–", ...figures]),
    ["the start, shown no skeleton", "0", ...cells(withoutSkeleton)],
    ...points.map(({ step, figures }) => [
      step === 0 ? "the start" : `${Math.round((100 * step) / numSteps)} % of the training`,
      String(step),
      ...cells(figures),
    ]),
  ];
  return page("What the first phase teaches", curve, [
    markdownTable(["video", "steps", ...TITLES], rows),
    EXPLANATION,
  ]);
}

export function ranksMarkdown(experiment: LoraRanks): string {
  const { ranks, start, trainingSteps } = experiment;
  const rows = [
    ...baselineRows(experiment, (title, figures) => [title, "–", ...figures, "–"]),
    ["the start", "–", ...cells(start), "–"],
    ...ranks.map(({ rank, alpha, seeds }) => [
      `rank ${rank}`,
      String(alpha),
      ...METRICS.map(([metric, format]) =>
        spread(
          seeds.flatMap(({ figures }) => figures[metric] ?? []),
          format,
        ),
      ),
      PAPER_FVD[rank] === undefined ? "–" : String(PAPER_FVD[rank]),
    ]),
  ];
  const seeds = ranks[0]!.seeds.map(({ seed }) => seed).join(", ");
  return page("Ranks of the low-rank pairs", experiment, [
    `Each rank was trained for ${trainingSteps} steps with the seeds ${seeds}; means and, behind ±, standard ` +
      "deviations over the seeds. Pairs count alpha / rank times, which is the same at all ranks.",
    markdownTable(["video", "alpha", ...TITLES, "FVD in the paper (Tab. 6)"], rows),
    EXPLANATION,
    "The paper's FVD is another network's, of other videos: only the order of the ranks can be compared.",
  ]);
}

/** The same results give the same text. */
export function experimentJson(result: Phase1Curve | LoraRanks | VideoLength): string {
  return `${JSON.stringify(result, null, 1)}\n`;
}

function page(title: string, { settings }: Pick<Comparison, "settings">, parts: readonly string[]): string {
  const { numClips, width, height, numFrames, steps, guidanceScale, seed } = settings;
  const intro =
    `${numClips} held-out clips of ${numFrames} ${numFrames === 1 ? "frame" : "frames"} of ${width}x${height}, one ` +
    `segment each: ${steps} denoising steps, guidance ${guidanceScale}, seed ${seed}. The clips are rendered people, ` +
    "places and dances that no training has seen. A model is given a picture of the person standing in the place, the " +
    "caption, and the exact poses.";
  return `${[`# ${title}`, intro, ...parts].join("\n\n")}\n`;
}

function baselineRows(
  { baselines }: Pick<Comparison, "baselines">,
  row: (title: string, figures: readonly string[]) => string[],
): string[][] {
  return BASELINES.map((name) => row(BASELINE_TITLES[name], cells(baselines[name])));
}

function cells(figures: ExperimentFigures): string[] {
  return METRICS.map(([metric, format]) => cell(figures[metric], format));
}

/** Mean ± standard deviation, with n - 1 in the denominator; the mean alone of a single value. */
export function spread(values: readonly number[], format: MetricFormat): string {
  if (values.length === 0) return cell(undefined, format);
  const center = mean(values);
  if (values.length === 1) return cell(center, format);
  const squares = values.reduce((sum, value) => sum + (value - center) ** 2, 0);
  return `${cell(center, format)} ± ${cell(Math.sqrt(squares / (values.length - 1)), format)}`;
}
