/** All commands. Nothing heavy is loaded here: each command loads its work when it runs, so that help comes at once. */
import { Command } from "commander";
import { readFileSync } from "node:fs";
import { avatarCommand } from "./commands/avatar.ts";

import { datasetCommand } from "./commands/dataset.ts";
import { demoCommand } from "./commands/demo.ts";
import { doctorCommand } from "./commands/doctor.ts";
import { generateCommand } from "./commands/generate.ts";
import { inspectCommand } from "./commands/inspect.ts";
import { loraCommand } from "./commands/lora.ts";
import { modelsCommand } from "./commands/models.ts";
import { parityCommand } from "./commands/parity.ts";
import { prepareCommand } from "./commands/prepare.ts";
import { trainCommand } from "./commands/train.ts";
import { examples } from "./help.ts";

export function createProgram(): Command {
  const program = new Command("posegen")
    .description(
      "From one reference image and a driving video to a long video of that person performing that motion.",
    )
    .version(version())
    .configureHelp({ helpWidth: 100 })
    .addHelpText(
      "after",
      examples({
        "posegen demo": "A first video, from sample assets",
        "posegen generate --image me.png --video dance.mp4 --out me-dancing.mp4": "Your own",
        "posegen help generate": "All about one command",
      }),
    );
  for (const command of [
    generateCommand(),
    prepareCommand(),
    inspectCommand(),
    doctorCommand(),
    demoCommand(),

    avatarCommand(),
    datasetCommand(),
    trainCommand(),
    loraCommand(),
    modelsCommand(),
    parityCommand(),
  ]) {
    program.addCommand(command.copyInheritedSettings(program));
  }
  return program;
}

function version(): string {
  const manifest = readFileSync(new URL("../../../package.json", import.meta.url), "utf8");
  return (JSON.parse(manifest) as { version: string }).version;
}
