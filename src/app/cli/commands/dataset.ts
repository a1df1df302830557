import { Command, Option } from "commander";
import type { BuildRequest, RenderRequest } from "../../dataset/requests.ts";
import { examples } from "../help.ts";
import { eyesOption, parseNumber } from "../request-flags.ts";

export function datasetCommand(): Command {
  return new Command("dataset")
    .summary("make and look at training clips")
    .description(
      "Makes the clips that training reads, from videos or of rendered people, and shows what is in them.",
    )
    .addCommand(buildCommand())
    .addCommand(renderCommand())
    .addCommand(statsCommand());
}

/** Flags of every command that makes clips. */
interface ClipFlags {
  readonly out: string;
  readonly model?: string;
  readonly size?: string;
  readonly frames?: number;
  readonly headFrames?: number;
  readonly tailFrames?: number;
  readonly workers?: number;
  readonly quiet?: boolean;
}

function clipRequest({ out, model, size, frames, headFrames, tailFrames, workers }: ClipFlags) {
  return { out, model, size, numFrames: frames, headFrames, tailFrames, numWorkers: workers };
}

function addClipFlags(command: Command): Command {
  return command
    .requiredOption("--out <folder>", "folder of the dataset; a run that was stopped goes on there")
    .option(
      "--model <folder>",
      "model folder whose VAE and tokenizer encode (default: the embedded posegen-mini)",
    )
    .option("--size <WxH>", "width and height of the clips, multiples of 16 (default: the model's)")
    .option("--frames <n>", "frames of a clip, 4k + 1 (default: the model's segment)", parseNumber)
    .option(
      "--head-frames <n>",
      "first frames that replace skeleton and hand normals, for phase 2, 4a + 1 (default: 0)",
      parseNumber,
    )
    .option("--tail-frames <n>", "last frames that do, 4b (default: 0)", parseNumber)
    .option(
      "--workers <n>",
      "processes at a time; the result is the same (default: half of the cores)",
      parseNumber,
    )
    .option("--quiet", "say nothing but errors");
}

interface BuildFlags extends ClipFlags {
  readonly videos: string;
  readonly fps?: number;
  readonly caption?: string;
  readonly minPerson?: number;
  readonly minHead?: number;
  readonly dropHands?: number;
  readonly poses?: NonNullable<BuildRequest["quality"]>;
  readonly eyes?: readonly string[];
}

function buildCommand(): Command {
  const command = new Command("build")
    .summary("training clips from a folder of videos")
    .description(
      "Cuts videos into clips, finds the person and the hands, leaves out clips without exactly one clearly visible person " +
        "or with a cut, and encodes the rest. The text beside a video (dance.txt for dance.mp4) is its caption. What was left " +
        "out stands with its reason in dataset.json.",
    )
    .requiredOption("--videos <folder>", "folder of videos; folders inside it count too");
  return addClipFlags(command)
    .option(
      "--fps <n>",
      "frames per second of the clips; videos are resampled by time (default: the model's)",
      parseNumber,
    )
    .option("--caption <text>", 'caption of videos without a text (default: "A person is dancing.")')
    .option(
      "--min-person <share>",
      "least box of the person, as a share of the picture (default: 0.3)",
      parseNumber,
    )
    .option("--min-head <confidence>", "least confidence of the head's points (default: 0.75)", parseNumber)
    .option(
      "--drop-hands <share>",
      "clips whose hands are left out of the conditions (default: 0)",
      parseNumber,
    )
    .addOption(
      new Option("--poses <network>", "body network, from fast to accurate (default: heavy)").choices([
        "lite",
        "full",
        "heavy",
      ]),
    )
    .addOption(eyesOption())
    .addHelpText(
      "after",
      examples({
        "posegen dataset build --videos footage/ --out data/": "Clips of the embedded model's size",
        "posegen dataset build --videos footage/ --out data2/ --head-frames 9 --tail-frames 8":
          "Clips of interpolated segments",
      }),
    )
    .action(buildAction);
}

async function buildAction(flags: BuildFlags): Promise<void> {
  await checkModel(flags.model);
  const { videos, fps, caption, minPerson, minHead, dropHands, poses, eyes } = flags;
  const [{ buildDataset }, { datasetReport }, { runWithBars }] = await Promise.all([
    import("../../dataset/build-dataset.ts"),
    import("../dataset-report.ts"),
    import("../run-with-bars.ts"),
  ]);
  const request = {
    ...clipRequest(flags),
    videos,
    fps,
    caption,
    dropHands,
    minPersonArea: minPerson,
    minHeadConfidence: minHead,
    quality: poses,
    eyes: eyes && [...eyes],
  };
  const index = await runWithBars(flags, (options) => buildDataset(request, options));
  if (!flags.quiet) console.log(datasetReport(flags.out, index));
}

interface RenderFlags extends ClipFlags {
  readonly recipe?: string;
  readonly series?: string;
  readonly world?: NonNullable<RenderRequest["world"]>;
  readonly clips?: number;
}

function renderCommand(): Command {
  const command = new Command("render")
    .summary("training clips of rendered people")
    .description(
      "Renders people who do not exist, with exact poses, hand normals and masks, and encodes them.",
    )
    .option(
      "--recipe <file>",
      "JSON or YAML: series, world, numClips, size, numFrames, headFrames, tailFrames; flags go first",
    )
    .option("--series <name>", "clips of two series never show the same person, place or dance")
    .addOption(
      new Option("--world <kind>", "how hard the pictures are (default: varied)").choices(["easy", "varied"]),
    )
    .option("--clips <n>", "number of clips", parseNumber);
  return addClipFlags(command)
    .addHelpText(
      "after",
      examples({
        "posegen dataset render --series train --clips 640 --out data/": "Clips of the embedded model's size",
        "posegen dataset render --recipe held-out.yaml --out data/held-out": "What a file says",
      }),
    )
    .action(renderAction);
}

async function renderAction(flags: RenderFlags): Promise<void> {
  await checkModel(flags.model);
  const [{ renderDataset }, { readRecipe }, { datasetReport }, { runWithBars }] = await Promise.all([
    import("../../dataset/render-dataset.ts"),
    import("../../dataset/recipe-file.ts"),
    import("../dataset-report.ts"),
    import("../run-with-bars.ts"),
  ]);
  const recipe = flags.recipe === undefined ? {} : await readRecipe(flags.recipe);
  const { series, world, clips } = flags;
  const given = Object.entries({ ...clipRequest(flags), series, world, numClips: clips });
  const request = { ...recipe, ...Object.fromEntries(given.filter(([, value]) => value !== undefined)) };
  const index = await runWithBars(flags, (options) => renderDataset(request as RenderRequest, options));
  if (!flags.quiet) console.log(datasetReport(flags.out, index));
}

interface StatsFlags {
  readonly model?: string;
  readonly out?: string;
  readonly samples?: number;
}

function statsCommand(): Command {
  return new Command("stats")
    .summary("a page of pictures and figures of a dataset")
    .description(
      "Writes one HTML page that needs nothing else: where joints are, how fast they move, how large people are, how often " +
        "hands are seen, captions, latents, and what was left out and why.",
    )
    .argument("<folder>", "folder of the dataset")
    .option("--model <folder>", "model folder that encoded it: its VAE decodes some clips to look at")
    .option("--samples <n>", "clips to decode (default: 6)", parseNumber)
    .option("--out <file>", "HTML file to write (default: stats.html in the folder)")
    .addHelpText(
      "after",
      examples({
        "posegen dataset stats data/ --model weights/posegen-mini": "Then open data/stats.html",
      }),
    )
    .action(statsAction);
}

async function statsAction(folder: string, flags: StatsFlags): Promise<void> {
  const [{ datasetStats }, { statsReport }] = await Promise.all([
    import("../../dataset/dataset-stats.ts"),
    import("../dataset-report.ts"),
  ]);
  console.log(
    statsReport(
      await datasetStats(folder, { model: flags.model, out: flags.out, numSamples: flags.samples }),
    ),
  );
}

async function checkModel(model: string | undefined): Promise<void> {
  if (model === undefined) await (await import("../../embedded-model.ts")).checkEmbeddedModel();
}
