import { Command } from "commander";
import { examples } from "../help.ts";
import { addDrivingFlags, drivingRequest, type DrivingFlags } from "../request-flags.ts";

interface PrepareFlags extends DrivingFlags {
  readonly out: string;
  readonly quiet?: boolean;
}

export function prepareCommand(): Command {
  const command = new Command("prepare")
    .summary("show what is found in a driving video, without generating")
    .description(
      "Finds the person and the hands in a driving video and writes what generation is conditioned on, with an overlay " +
        "video to look at.",
    )
    .requiredOption("--out <folder>", "folder to write into");
  return addDrivingFlags(command)
    .option("--quiet", "say nothing but errors")
    .addHelpText(
      "after",
      examples({
        "posegen prepare --video dance.mp4 --out prepared": "Poses, skeletons, hand normals and an overlay",
      }),
    )
    .action(async (flags: PrepareFlags) => {
      const [{ prepare }, { runWithDisplay }] = await Promise.all([
        import("../../../index.ts"),
        import("../run-with-display.ts"),
      ]);
      const request = { out: flags.out, ...drivingRequest(flags) };
      const result = await runWithDisplay({ quiet: flags.quiet === true, workDir: null }, (options) =>
        prepare(request, options),
      );
      if (!flags.quiet) console.log(result);
    });
}
