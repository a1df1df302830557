import { Command } from "commander";
import { examples } from "../help.ts";

export function modelsCommand(): Command {
  return new Command("models")
    .summary("look into models on disk and check them")
    .description(
      "Works on models on disk: a folder with model.json, a folder of published files in any of their layouts (the " +
        "original Wan2.1 files, Diffusers folders, repackaged single files, PoseGen's 720p-81f-base and -cond), or a JSON " +
        'file that names the parts: {"folder": "…", "parts": {"vae": "…"}}. Nothing in them is executed or changed.',
    )
    .addCommand(inspectCommand())
    .addCommand(verifyCommand());
}

function inspectCommand(): Command {
  return new Command("inspect")
    .summary("say what a model is, and what is missing")
    .description(
      "Says which parts of a model were found, how they name their weights, in which precision they are, and which file " +
        "would fill a part that is missing.",
    )
    .argument("<model>", "a folder, or a JSON file that names the parts")
    .addHelpText(
      "after",
      examples({
        "posegen models inspect weights/posegen-mini": "The embedded model",
        "posegen models inspect checkpoints": "A folder with published files",
      }),
    )
    .action(async (model: string) => {
      const { inspectModel } = await import("../../models/inspect-model.ts");
      console.log(await inspectModel(model));
    });
}

function verifyCommand(): Command {
  return new Command("verify")
    .summary("check every tensor of a model")
    .description(
      "Checks name, shape and type of every tensor, what both phases change, that both rest on the same frozen weights, " +
        "and the tokenizer. Ends with 0 when the model is whole, else with 1.",
    )
    .argument("<model>", "a folder, or a JSON file that names the parts")
    .addHelpText("after", examples({ "posegen models verify weights/posegen-mini": "The embedded model" }))
    .action(async (model: string) => {
      const { describeChecks } = await import("../../models/verify-model.ts");
      const { text, isWhole } = await describeChecks(model);
      console.log(text);
      if (!isWhole) process.exitCode = 1;
    });
}
