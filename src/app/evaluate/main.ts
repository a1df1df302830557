/** `npm run evaluate`: figures of a model on held-out clips, with a contact sheet. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Command } from "commander";
import { writeImage } from "../../media/image.ts";
import { EMBEDDED_MODEL, sharingRanges } from "../../pipeline/request.ts";
import { integer, interruptible, positiveInteger, runProgram, withJudgingFlags } from "./command-line.ts";
import { type Evaluation, type EvaluationOptions, evaluate } from "./evaluate.ts";
import type { ClipFigures, VideoName } from "./figures.ts";
import { jsonReport, markdownReport } from "./report.ts";
import { UserError } from "../../tensor/errors.ts";
import { NUM_TRAINING_CLIPS } from "./series.ts";
import { sharingJson, sharingMarkdown } from "./sharing-report.ts";
import { type SharingRanges, searchSharing } from "./sharing-search.ts";

interface Flags extends Pick<EvaluationOptions, "model" | "poseStep" | "poseQuality" | "seed" | "steps"> {
  readonly out: string;
  readonly clips: number;
  readonly trainingClips: number;
  readonly jobs: number;
  readonly sharingSearch?: boolean;
  readonly ranges?: readonly string[];
}

const program = new Command("evaluate")
  .description(
    "Generates held-out clips, compares them with their truth and with what needs no model, and writes the figures. " +
      "A stopped evaluation goes on when the same command is run again.",
  )
  .configureHelp({ helpWidth: 100 })
  .option("--model <folder>", "model folder", EMBEDDED_MODEL)
  .option("--out <folder>", "where the report and finished clips go", "runs/evaluation")
  .option("--clips <n>", "held-out clips", positiveInteger, 20)
  .option("--steps <n>", "denoising steps (default: the model's)", positiveInteger)
  .option("--seed <n>", "seed of the noise", integer, 0)
  .option(
    "--training-clips <n>",
    "search the nearest clip among this many",
    positiveInteger,
    NUM_TRAINING_CLIPS,
  )
  .option(
    "--sharing-search",
    "instead, generate each clip with KV-sharing off and in several ranges over the same noise, and recommend one",
  )
  .option(
    "--ranges <ranges...>",
    "steps and blocks to search, such as 0..2:4..8 (default: in the paper's proportions)",
  )
  .action((flags: Flags) => (flags.sharingSearch ? runSearch(flags) : run(flags)));

async function runSearch({ out, clips, jobs, model, seed, steps, ranges }: Flags): Promise<void> {
  await interruptible(async (signal) => {
    const search = await searchSharing({
      model,
      seed,
      steps,
      numClips: clips,
      numJobs: Math.min(jobs, clips),
      work: join(out, "clips"),
      signal,
      ranges: ranges?.map(parseRanges),
      onClip: (numFinished) => console.error(`${numFinished}/${clips}`),
    });
    await mkdir(out, { recursive: true });
    await writeFile(join(out, "sharing.md"), sharingMarkdown(search));
    await writeFile(join(out, "sharing.json"), sharingJson(search));
    console.log(sharingMarkdown(search));
    return out;
  });
}

async function run(flags: Flags): Promise<void> {
  const { out, clips, trainingClips, jobs, model, seed, steps, poseStep, poseQuality } = flags;
  await interruptible(async (signal) => {
    const evaluation = await evaluate({
      model,
      seed,
      steps,
      poseStep,
      poseQuality,
      numClips: clips,
      numTrainingClips: trainingClips,
      numJobs: Math.min(jobs, clips),
      work: join(out, "clips"),
      signal,
      onClip: (figures, numFinished) => console.error(`${numFinished}/${clips}  ${describe(figures)}`),
    });
    await writeReport(out, evaluation);
    console.log(markdownReport(evaluation));
    return out;
  });
}

async function writeReport(out: string, evaluation: Evaluation): Promise<void> {
  await mkdir(out, { recursive: true });
  await writeFile(join(out, "report.md"), markdownReport(evaluation));
  await writeFile(join(out, "report.json"), jsonReport(evaluation));
  await writeImage(join(out, "contact-sheet.png"), evaluation.sheet);
}

function describe({ index, videos }: ClipFigures): string {
  const pck = (name: VideoName): string => videos[name].pck10?.toFixed(3) ?? "–";
  return (
    `clip ${index}: PSNR ${videos.generated.psnr?.toFixed(2)} dB, PCK@0.1 ${pck("generated")} ` +
    `(reference ${pck("reference")}, nearest clip ${pck("nearest")})`
  );
}

function parseRanges(text: string): SharingRanges {
  const { data } = sharingRanges.safeParse(text);
  if (!data) throw new UserError(`--ranges: got "${text}"; expected steps and blocks such as 0..2:4..8`);
  return data;
}

await runProgram(withJudgingFlags(program));
