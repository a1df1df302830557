import { Command, Option } from "commander";
import { UserError } from "../../../tensor/errors.ts";
import type { TrainingGroup } from "../../../training/group.ts";
import type { TrainingConfig } from "../../train/config.ts";
import { examples } from "../help.ts";

interface TrainFlags {
  readonly config?: string;
  readonly set?: readonly string[];
  readonly resume?: boolean;
  readonly dryRun?: boolean;
  readonly explain?: boolean | string;
  readonly quiet?: boolean;
}

interface ExportFlags {
  readonly out: string;
  readonly name?: string;
}

export function trainCommand(): Command {
  return new Command("train")
    .summary("train a VAE, a base model, or the LoRA of a phase")
    .description(
      "Trains as a configuration says, which is a YAML or JSON file; --explain prints every key of it. The run's folder " +
        "gets checkpoints, log.jsonl, TensorBoard events, loss.svg and sample sheets. A run that was stopped or killed " +
        "goes on from its last checkpoint when the same command is given again. Paths in a configuration start from " +
        "the current folder.",
    )
    .option("--config <file>", "what to train, and how")
    .option("--set <key=value>", "change a setting of the file; may be given several times", collect)
    .option("--dry-run", "print tokens, FLOP, memory and time, and train nothing")
    .option("--resume", "go on with the run that the folder holds (the default)")
    .option("--no-resume", "refuse a folder that holds a run")
    .addOption(
      new Option(
        "--explain [kind]",
        "print every key with its default and source, for one kind or for all",
      ).choices(["vae", "base", "phase1", "phase2"]),
    )
    .option("--quiet", "say nothing but errors")
    .addHelpText(
      "after",
      examples({
        "posegen train --config recipes/posegen-mini/phase1.yaml": "Train, or go on with it",
        "posegen train --config phase1.yaml --dry-run": "What it would cost, at once",
        "posegen train --config phase1.yaml --set learningRate.peak=1e-4 --set out=runs/slow":
          "With other settings, in another folder",
        "mpirun -n 4 posegen train --config phase1.yaml":
          "In four processes, which share out each step's clips",
        "posegen train --explain phase1": "Every key of a configuration",
        "posegen train export runs/vae runs/base runs/phase1 runs/phase2 --out my-model":
          "A model folder for `posegen generate --model`",
      }),
    )
    .addCommand(exportCommand())
    .action(trainAction);
}

function collect(value: string, previous: readonly string[] = []): string[] {
  return [...previous, value];
}

function exportCommand(): Command {
  return new Command("export")
    .summary("make a model folder of trainings")
    .description(
      "Writes the averaged weights of trainings as a model folder in float16. What none of them has made is taken from " +
        "the model folder they started from. A VAE alone gives a folder that datasets can be made with.",
    )
    .argument("<run...>", "folders of trainings, of each kind at most one")
    .requiredOption("--out <folder>", "the model folder to write")
    .option("--name <name>", "name of the model (default: that of the folder)")
    .addHelpText(
      "after",
      examples({
        "posegen train export runs/vae runs/base runs/phase1 runs/phase2 --out my-model": "A whole model",
        "posegen train export runs/vae --out encoders": "What a dataset is made with",
      }),
    )
    .action(async (runs: string[], { out, name }: ExportFlags) => {
      const { exportModel } = await import("../../train/export-model.ts");
      const { path, missing } = await exportModel({ runs, out, name });
      const rest = missing.length === 0 ? "" : `; still missing for \`generate\`: ${missing.join(", ")}`;
      console.log(`${path}${rest}`);
    });
}

async function trainAction(flags: TrainFlags): Promise<void> {
  const { inGroup, processesOf } = await import("../../train/in-group.ts");
  const { rank, size } = processesOf(process.env);
  if (!flags.dryRun && flags.explain === undefined) return inGroup((group) => runTraining(flags, group));
  // What is only printed is printed once.
  if (rank > 0) return;
  if (flags.explain !== undefined) return printKeys(flags.explain);
  const { planTraining } = await import("../../train/plan-training.ts");
  const { trainingPlanTable } = await import("../../train/training-plan-table.ts");
  const config = await readConfig(flags);
  console.log(trainingPlanTable(config, await planTraining(config, size)));
}

async function readConfig({ config: file, set }: TrainFlags): Promise<TrainingConfig> {
  if (file === undefined) {
    throw new UserError("no configuration; name one with --config, or see --explain for what goes into it");
  }
  const { readTrainingConfig } = await import("../../train/config.ts");
  return readTrainingConfig(file, set);
}

async function runTraining(flags: TrainFlags, group: TrainingGroup): Promise<void> {
  const config = await readConfig(flags);
  const { trainWithDisplay } = await import("../../train/train-with-display.ts");
  const { step, numSteps } = await trainWithDisplay(config, {
    group,
    resume: flags.resume !== false,
    quiet: flags.quiet === true,
  });
  if (!flags.quiet && group.rank === 0) console.log(`${config.out}: ${step} of ${numSteps} steps`);
}

async function printKeys(explain: boolean | string): Promise<void> {
  const { explainTraining } = await import("../../train/explain.ts");
  const { TRAINING_SCHEMAS } = await import("../../train/config.ts");
  const kinds = Object.keys(TRAINING_SCHEMAS) as (keyof typeof TRAINING_SCHEMAS)[];
  console.log(explainTraining(kinds.filter((kind) => explain === true || kind === explain)));
}
