import { Command } from "commander";
import type { DemoResult } from "../../demo.ts";
import { examples } from "../help.ts";

interface DemoFlags {
  readonly out: string;
  readonly model?: string;
  readonly device?: string;
  readonly quiet?: boolean;
}

export function demoCommand(): Command {
  return new Command("demo")
    .summary("make a first video, from sample assets")
    .description(
      "Makes a video of at least 10 s from the sample reference and the sample driving clip with the embedded model, and " +
        "a contact sheet to look at. Needs nothing but this package.",
    )
    .option("--out <folder>", "folder to write into", "out/demo")
    .option("--model <folder>", "model folder (default: the embedded posegen-mini)")
    .option("--device <name>", "cpu, cuda, webgpu, dml, coreml or auto (default: cpu)")
    .option("--quiet", "say nothing but errors")
    .addHelpText("after", examples({ "posegen demo": "Takes a few minutes on two cores" }))
    .action(demoAction);
}

async function demoAction(flags: DemoFlags): Promise<void> {
  if (flags.model === undefined) await (await import("../../embedded-model.ts")).checkEmbeddedModel();
  const [{ runDemo, demoVideo }, { runWithDisplay }] = await Promise.all([
    import("../../demo.ts"),
    import("../run-with-display.ts"),
  ]);
  const display = { quiet: flags.quiet === true, workDir: `${demoVideo(flags.out)}.work` };
  const result = await runWithDisplay(display, (options) => runDemo(flags, options));
  if (!flags.quiet) console.log(await report(result));
}

/** What was done, where it lies, and what to do next. */
async function report({ assets, preparation, result, sheet }: DemoResult): Promise<string> {
  const [{ formatDuration, formatNumber }, { sharingText }, { textTable }] = await Promise.all([
    import("../quantities.ts"),
    import("../plan-table.ts"),
    import("../text-table.ts"),
  ]);
  const { numFrames, fps, width, height, numSegments, sharing, durationMs } = result;
  const { numWithBody, numWithLeftHand, numWithRightHand } = preparation;
  const numInterpolated = Math.floor(numSegments / 2);
  const done = [
    `Found the dancer in ${numWithBody} of ${preparation.numFrames} frames of ${assets.video}, the left hand in ` +
      `${numWithLeftHand}, the right hand in ${numWithRightHand}.`,
    `Made the person of ${assets.reference} dance like that: ${numFrames} frames of ${width}x${height}, ` +
      `${formatNumber(numFrames / fps)} s, in ${formatDuration(durationMs)}.`,
    `${numSegments} segments: ${numSegments - numInterpolated} on their own, which share the background of the first ` +
      `(${sharingText(sharing)}), and ${numInterpolated} interpolated between them.`,
    `The prompt was "${assets.prompt}"`,
  ];
  const files = [
    [result.out, "the video"],
    [sheet, "contact sheet: the reference; from top to bottom skeleton, hand normals, result"],
    [preparation.files.overlay!, "the skeleton over the driving video"],
  ];
  const next = [
    ["posegen generate --image YOU.png --video DANCE.mp4 --out YOURS.mp4", "your own"],
    ["posegen generate --help", "everything that can be set"],
    ["posegen doctor", "what this machine can do"],
  ];
  return [
    "",
    ...done,
    "",
    "Look at",
    textTable(files),
    "",
    "Next (npx posegen … where posegen is not installed globally)",
    textTable(next),
  ].join("\n");
}
