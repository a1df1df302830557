/** `npm run experiments`: the paper's experiments in miniature. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Command } from "commander";
import {
  integer,
  interruptible,
  positiveInteger,
  runProgram,
  withJudgingFlags,
} from "../evaluate/command-line.ts";
import { examples } from "../cli/help.ts";
import { TrainingDisplay } from "../train/training-display.ts";
import { curvePlot, ranksPlot } from "./charts.ts";
import type { ExperimentOptions } from "./compare-models.ts";
import { loraRanks } from "./lora-ranks.ts";
import { phase1Curve } from "./phase1-curve.ts";
import { curveMarkdown, experimentJson, ranksMarkdown } from "./report.ts";
import { readPhase1Config } from "./trained-model.ts";

interface Flags extends Pick<ExperimentOptions, "seed" | "poseStep" | "poseQuality"> {
  readonly config: string;
  readonly set?: readonly string[];
  readonly out?: string;
  readonly clips: number;
  readonly jobs: number;
}

interface RanksFlags extends Flags {
  readonly ranks: readonly number[];
  readonly trainingSeeds: readonly number[];
}

/** A command with what all experiments are told. */
function experiment(name: string, summary: string, description: string): Command {
  const command = new Command(name)
    .summary(summary)
    .description(`${description} A stopped experiment goes on when the same command is run again.`)
    .configureHelp({ helpWidth: 100 })
    .requiredOption("--config <file>", "settings of a training of kind phase1, as of `posegen train`")
    .option("--set <key=value...>", "change settings of the file")
    .option("--out <folder>", `runs, models, clips and the report (default: runs/${name})`)
    .option("--clips <n>", "held-out clips, at least 2", positiveInteger, 40)
    .option("--seed <n>", "seed of the noise that clips start from", integer, 0);
  return withJudgingFlags(command);
}

const program = new Command("experiments")
  .description(
    "Repeats experiments of the paper with trainings of this project, and writes tables and plots.",
  )
  .configureHelp({ helpWidth: 100 })
  .addCommand(
    experiment(
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
      .action((flags: Flags) =>
        run(flags, "phase1-curve", async (options) => {
          const result = await phase1Curve(options);
          return { result, markdown: curveMarkdown(result), plot: curvePlot(result) };
        }),
      ),
  )
  .addCommand(
    experiment(
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
        run(flags, "lora-ranks", async (options) => {
          const result = await loraRanks({ ...options, ranks, trainingSeeds });
          return { result, markdown: ranksMarkdown(result), plot: ranksPlot(result) };
        }),
      ),
  );

interface Report {
  readonly result: Parameters<typeof experimentJson>[0];
  readonly markdown: string;
  readonly plot: string;
}

/** Runs an experiment with progress on stderr, and writes its report. */
async function run(
  { config, set, clips, jobs, out: folder, ...measuring }: Flags,
  name: string,
  make: (options: ExperimentOptions) => Promise<Report>,
): Promise<void> {
  const out = folder ?? join("runs", name);
  const display = new TrainingDisplay();
  await interruptible(async (signal) => {
    const { result, markdown, plot } = await make({
      ...measuring,
      config: await readPhase1Config(config, set),
      out,
      numClips: clips,
      numJobs: Math.min(jobs, clips),
      signal,
      listener: display,
      onClip: (index, title) => display.say(`clip ${index + 1} of ${clips}: ${title}`),
    });
    await mkdir(out, { recursive: true });
    await writeFile(join(out, `${name}.md`), markdown);
    await writeFile(join(out, `${name}.json`), experimentJson(result));
    await writeFile(join(out, `${name}.svg`), plot);
    display.close();
    console.log(markdown);
    return out;
  });
}

/** Parses "1,4,16". */
function listOf(parse: (text: string) => number): (text: string) => number[] {
  return (text) => text.split(",").map((part) => parse(part));
}

await runProgram(program);
