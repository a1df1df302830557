import { Command } from "commander";
import { examples } from "../help.ts";

export function modelsCommand(): Command {
  return new Command("models")
    .summary("get, check and convert models, and plan what they take")
    .description(
      "Works on models: a folder with model.json, a folder of published files in any of their layouts (the " +
        "original Wan2.1 files, Diffusers folders, repackaged single files, PoseGen's 720p-81f-base and -cond), or a JSON " +
        'file that names the parts: {"folder": "…", "parts": {"vae": "…"}}. Nothing in them is executed or changed.',
    )
    .addCommand(inspectCommand())
    .addCommand(verifyCommand())
    .addCommand(convertCommand());
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

interface ConvertFlags {
  readonly out: string;
  readonly precision?: string;
  readonly lora?: readonly string[];
  readonly merge?: boolean;
}

function convertCommand(): Command {
  return new Command("convert")
    .summary("write a model of any layout as one folder of safetensors files")
    .description(
      "Writes a model of any layout as one folder of safetensors files with model.json, which --model takes: the weights " +
        "that the networks need and nothing else. It passes through memory piece by piece, and the folder is there whole " +
        "or not at all. The phases' own low-rank pairs stay pairs, because both rest on one base.",
    )
    .argument("<model>", "a folder, or a JSON file that names the parts")
    .requiredOption("--out <folder>", "the folder to write; it must be new or empty")
    .option(
      "--precision <type>",
      "type of weights with more than one axis: f32, f16 or bf16; vectors keep theirs in 16 bits (default: as stored)",
    )
    .option(
      "--lora <file[:weight]>",
      "LoRA over both phases, of any naming; can be repeated (weight: 1 = as trained)",
      (text: string, before: readonly string[] = []) => [...before, text],
    )
    .option("--merge", "make the LoRAs part of the weights, in place of files of their own in the folder")
    .addHelpText(
      "after",
      examples({
        "posegen models convert checkpoints --out posegen-bf16 --precision bf16":
          "Published files in one folder, in 16 bits",
        "posegen models convert checkpoints --out with-film --lora film.safetensors:0.6":
          "With a LoRA that stays a file of its own",
        "posegen models convert checkpoints --out four-steps --lora lightning.safetensors --merge":
          "With a LoRA in the weights",
      }),
    )
    .action(async (model: string, { out, precision, lora = [], merge = false }: ConvertFlags) => {
      const [{ convertModel }, { runWithBytes }] = await Promise.all([
        import("../../models/convert-model.ts"),
        import("../run-with-bytes.ts"),
      ]);
      const request = { model, out, precision, loras: lora, isMerged: merge };
      console.log(await runWithBytes("Nothing was kept.", (options) => convertModel(request, options)));
    });
}
