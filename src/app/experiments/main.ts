/** `npm run experiments`: the paper's experiments in miniature. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Command } from "commander";
import { writeImage } from "../../media/image.ts";
import type { Image } from "../../media/pixels.ts";
import { EMBEDDED_MODEL } from "../../pipeline/request.ts";
import {
  integer,
  interruptible,
  positiveInteger,
  runProgram,
  withJobsFlag,
  withJudgingFlags,
} from "../evaluate/command-line.ts";
import type { JobOptions } from "../evaluate/jobs.ts";
import { examples } from "../cli/help.ts";
import { TrainingDisplay } from "../train/training-display.ts";
import { curvePlot, ranksPlot } from "./charts.ts";
import type { ExperimentOptions } from "./compare-models.ts";
import { lengthPlot } from "./length-chart.ts";
import { lengthMarkdown } from "./length-report.ts";
import { loraRanks } from "./lora-ranks.ts";
import { phase1Curve } from "./phase1-curve.ts";
import { curveMarkdown, experimentJson, ranksMarkdown } from "./report.ts";
import { readPhase1Config } from "./trained-model.ts";
import { videoLength } from "./video-length.ts";

interface Flags {
  readonly out?: string;
  readonly clips: number;
  readonly jobs: number;
  readonly seed: number;
}

interface TrainingFlags extends Flags, Pick<ExperimentOptions, "poseStep" | "poseQuality"> {
  readonly config: string;
  readonly set?: readonly string[];
}

interface RanksFlags extends TrainingFlags {
  readonly ranks: readonly number[];
  readonly trainingSeeds: readonly number[];
}

interface LengthFlags extends Flags {
  readonly model: string;
  readonly seconds: readonly number[];
}

/** A command with what all experiments are told. */
function experiment(name: string, summary: string, description: string): Command {
  return new Command(name)
    .summary(summary)
    .description(`${description} A stopped experiment goes on when the same command is run again.`)
    .configureHelp({ helpWidth: 100 })
    .option("--out <folder>", `the report and all it is made of (default: runs/${name})`)
    .option("--seed <n>", "seed of the noise that clips start from", integer, 0);
}

/** A command that measures trainings. */
function trainingExperiment(name: string, summary: string, description: string): Command {
  const command = experiment(name, summary, description)
    .requiredOption("--config <file>", "settings of a training of kind phase1, as of `posegen train`")
    .option("--set <key=value...>", "change settings of the file")
    .option("--clips <n>", "held-out clips, at least 2", positiveInteger, 40);
  return withJudgingFlags(command);
}

const program = new Command("experiments")
  .description("Repeats experiments of the paper with models of this project, and writes tables and plots.")
  .configureHelp({ helpWidth: 100 })
  .addCommand(
    trainingExperiment(
      "phase1-curve",
      "what the first phase teaches, and how fast",
      "Trains a first phase and measures it on held-out clips at 0, 25, 50 and 100 % of its steps, beside its start " +
        "without skeleton, the truth, the VAE, and the repeated reference.",
    )
      .addHelpText(
        "after",
        examples({
          "npm run experiments -- phase1-curve --config recipes/experiments/phase1.yaml":
            "Does LoRA alone teach the skeleton?",
          "npm run experiments -- phase1-curve --config phase1.yaml --set model=my-base --out runs/my-base":
            "From another base",
        }),
      )
      .action((flags: TrainingFlags) =>
        runTrainings(flags, "phase1-curve", async (options) => {
          const result = await phase1Curve(options);
          return { result, markdown: curveMarkdown(result), plot: curvePlot(result) };
        }),
      ),
  )
  .addCommand(
    trainingExperiment(
      "lora-ranks",
      "how much the rank of LoRA matters (Tab. 6)",
      "Trains a first phase at several ranks for equally many steps, each with several seeds, and measures them on " +
        "held-out clips. Alpha grows with the rank.",
    )
      .option("--ranks <n,...>", "ranks", listOf(positiveInteger), [1, 4, 16, 64])
      .option("--training-seeds <n,...>", "seeds of the trainings", listOf(integer), [1, 2, 3])
      .addHelpText(
        "after",
        examples({
          "npm run experiments -- lora-ranks --config recipes/experiments/phase1.yaml": "On pictures",
          "npm run experiments -- lora-ranks --config phase1.yaml --ranks 4,16 --training-seeds 1":
            "Two trainings alone",
        }),
      )
      .action(({ ranks, trainingSeeds, ...flags }: RanksFlags) =>
        runTrainings(flags, "lora-ranks", async (options) => {
          const result = await loraRanks({ ...options, ranks, trainingSeeds });
          return { result, markdown: ranksMarkdown(result), plot: ranksPlot(result) };
        }),
      ),
  )
  .addCommand(
    withJobsFlag(
      experiment(
        "length",
        "whether videos stay the same however long they get (Tab. 5)",
        "Generates long videos of held-out clips, each once, and measures their beginnings and windows beside the truth.",
      )
        .option("--model <folder>", "model folder", EMBEDDED_MODEL)
        .option(
          "--seconds <n,...>",
          "lengths; the longest is generated, windows are as long as the shortest",
          listOf(positiveInteger),
          [5, 10, 20, 30],
        )
        .option("--clips <n>", "held-out clips", positiveInteger, 4),
    )
      .addHelpText(
        "after",
        examples({
          "npm run experiments -- length": "The embedded model, up to half a minute",
          "npm run experiments -- length --model runs/model --seconds 10,30,60,90 --out runs/minutes":
            "Another model, at the paper's lengths",
        }),
      )
      .action(({ model, seconds, ...flags }: LengthFlags) =>
        run(flags, "length", async (options) => {
          const onClip = (numFinished: number) => console.error(`${numFinished}/${flags.clips}`);
          const work = join(options.out, "clips");
          const { result, sheet } = await videoLength({ ...options, model, seconds, work, onClip });
          return { result, markdown: lengthMarkdown(result), plot: lengthPlot(result), sheet };
        }),
      ),
  );

/** What every experiment is told. */
interface RunOptions extends JobOptions, Pick<Flags, "seed"> {
  readonly out: string;
  readonly signal: AbortSignal;
}

interface Report {
  readonly result: Parameters<typeof experimentJson>[0];
  readonly markdown: string;
  readonly plot: string;
  /** The contact sheet, where there is one. */
  readonly sheet?: Image;
}

/** Runs an experiment and writes its report. */
async function run(
  { out: folder, clips, jobs, seed }: Flags,
  name: string,
  make: (options: RunOptions) => Promise<Report>,
): Promise<void> {
  const out = folder ?? join("runs", name);
  await interruptible(async (signal) => {
    const numJobs = Math.min(jobs, clips);
    const { result, markdown, plot, sheet } = await make({ out, numClips: clips, numJobs, seed, signal });
    await mkdir(out, { recursive: true });
    await writeFile(join(out, `${name}.md`), markdown);
    await writeFile(join(out, `${name}.json`), experimentJson(result));
    await writeFile(join(out, `${name}.svg`), plot);
    if (sheet) await writeImage(join(out, `${name}.png`), sheet);
    console.log(markdown);
    return out;
  });
}

/** `run` for experiments that train, with progress on stderr. */
async function runTrainings(
  { config, set, poseStep, poseQuality, ...flags }: TrainingFlags,
  name: string,
  make: (options: ExperimentOptions) => Promise<Report>,
): Promise<void> {
  const display = new TrainingDisplay();
  await run(flags, name, async (options) => {
    const report = await make({
      ...options,
      config: await readPhase1Config(config, set),
      poseStep,
      poseQuality,
      listener: display,
      onClip: (index, title) => display.say(`clip ${index + 1} of ${flags.clips}: ${title}`),
    });
    display.close();
    return report;
  });
}

/** Parses "1,4,16". */
function listOf(parse: (text: string) => number): (text: string) => number[] {
  return (text) => text.split(",").map((part) => parse(part));
}

await runProgram(program);
