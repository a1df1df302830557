import { Command } from "commander";
import { examples } from "../help.ts";

export function parityCommand(): Command {
  return new Command("parity")
    .summary("compare with recorded results of the published code")
    .description(
      "Compares this program with recorded results of the published code: every fixture folder in DIR, each against " +
        "its own config.json. Ends with 1 when anything is off.",
    )
    .argument("<dir>", "a fixture folder, or a folder of them")
    .addHelpText("after", examples({ "posegen parity fixtures": "Everything in the folder fixtures" }))
    .action(async (dir: string) => {
      const { printParity } = await import("../../parity/print.ts");
      if (!(await printParity(dir))) process.exitCode = 1;
    });
}
