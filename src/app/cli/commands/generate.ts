import { Command } from "commander";
import type { GenerateRequest, GenerateResult } from "../../../index.ts";
import { examples } from "../help.ts";
import {
  addDrivingFlags,
  addPlacementFlags,
  addSamplingFlags,
  drivingRequest,
  placementRequest,
  samplingRequest,
  type DrivingFlags,
  type PlacementFlags,
  type SamplingFlags,
} from "../request-flags.ts";

interface GenerateFlags extends DrivingFlags, SamplingFlags, PlacementFlags {
  readonly image: string;
  readonly out: string;
  readonly workDir?: string;
  readonly resume?: boolean;
  readonly dryRun?: boolean;
  readonly quiet?: boolean;
}

export function generateCommand(): Command {
  const command = new Command("generate")
    .summary("make a video from a reference image and a driving video")
    .description(
      "Makes a video of the person in the reference image, before its background, who moves as the person in the " +
        "driving video does. It is as long as the driving video; its sound is copied.",
    )
    .optionsGroup("Inputs and output:")
    .requiredOption("--image <file>", "reference image: who, and where")
    .requiredOption("--out <file>", "the MP4 to write");
  addPlacementFlags(addSamplingFlags(addDrivingFlags(command)));
  return command
    .optionsGroup("The run:")
    .option("--dry-run", "print the plan (segments, tokens, FLOP, memory, time) and generate nothing")
    .option(
      "--work-dir <folder>",
      "where unfinished work lies; kept in the end (default: OUT.work, removed in the end)",
    )
    .option("--resume", "go on with the work found there (the default)")
    .option("--no-resume", "start again")
    .option("--quiet", "say nothing but errors")
    .addHelpText(
      "after",
      examples({
        "posegen generate --image me.png --video dance.mp4 --out me-dancing.mp4":
          "The person of me.png dances",
        "posegen generate --image me.png --video dance.mp4 --out a.mp4 --dry-run":
          "What it would cost, at once",
        'posegen generate --image me.png --video dance.mp4 --out a.mp4 --prompt "a woman in a red dress" --seed 7':
          "Say what is seen, draw other noise",
        "posegen generate --image me.png --video dance.mp4 --out a.mp4 --caption-url http://localhost:11434/v1 --caption-model llava":
          "Have a model on this machine say what is seen",
        "posegen generate --image me.png --video dance.mp4 --out a.mp4 --kv-share off":
          "Without background sharing",
        "posegen generate --image me.png --video dance.mp4 --out a.mp4 --lora film.safetensors:0.6 --lora peft-folder":
          "Two more LoRAs over the model",
        "posegen generate --image me.png --keypoints prepared/keypoints.jsonl --out a.mp4":
          "With poses that `posegen prepare` wrote, perhaps edited",
      }),
    )
    .action(generateAction);
}

async function generateAction(flags: GenerateFlags): Promise<void> {
  if (flags.model === undefined) await (await import("../../embedded-model.ts")).checkEmbeddedModel();
  const request = toRequest(flags);
  if (flags.dryRun) {
    const [{ planGeneration }, { planTable }] = await Promise.all([
      import("../../../index.ts"),
      import("../plan-table.ts"),
    ]);
    console.log(planTable(await planGeneration(request)));
    return;
  }
  const [{ generate }, { runWithDisplay }] = await Promise.all([
    import("../../../index.ts"),
    import("../run-with-display.ts"),
  ]);
  const workDir = flags.workDir ?? `${flags.out}.work`;
  const result = await runWithDisplay({ quiet: flags.quiet === true, workDir }, (options) =>
    generate(request, options),
  );
  if (!flags.quiet) console.log(await summaryOf(result));
}

function toRequest(flags: GenerateFlags): GenerateRequest {
  const { image, out, workDir, resume } = flags;
  return {
    image,
    out,
    workDir,
    resume,
    ...drivingRequest(flags),
    ...samplingRequest(flags),
    ...placementRequest(flags),
  };
}

async function summaryOf(result: GenerateResult): Promise<string> {
  const { formatDuration, formatNumber } = await import("../quantities.ts");
  const { out, numFrames, fps, width, height, numSegments, audio, durationMs } = result;
  const sound = {
    none: "",
    copied: ", with its sound",
    encoded: ", with its sound as AAC",
    unsupported: ", without its sound, which cannot be decoded",
  };
  return (
    `${out}: ${numFrames} frames of ${width}x${height}, ${formatNumber(numFrames / fps)} s, from ${numSegments} segments` +
    `${sound[audio]}, in ${formatDuration(durationMs)}`
  );
}
