import { Command } from "commander";
import { examples } from "../help.ts";
import { parseNumber, parseSize } from "../request-flags.ts";
import { calibrateCommand } from "./models-calibrate.ts";

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
    .addCommand(convertCommand())
    .addCommand(pullCommand())
    .addCommand(planCommand())
    .addCommand(calibrateCommand());
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
        "and the tokenizer; and every byte of files in a Hub cache, whose names there are their checksums. Ends with 0 " +
        "when the model is whole, else with 1.",
    )
    .argument("<model>", "a folder, or a JSON file that names the parts")
    .addHelpText("after", examples({ "posegen models verify weights/posegen-mini": "The embedded model" }))
    .action(async (model: string) => {
      const [{ describeChecks }, { runWithBytes }] = await Promise.all([
        import("../../models/verify-model.ts"),
        import("../run-with-bytes.ts"),
      ]);
      const { text, isWhole } = await runWithBytes("Nothing was changed.", (options) =>
        describeChecks(model, options),
      );
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
      "type of weights with more than one axis: f32, f16 or bf16, vectors keep theirs in 16 bits; or q8 or q4, blocks of " +
        "8 or 4 bits for the denoiser's linear layers, everything else as stored (default: as stored)",
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
        "posegen models convert checkpoints --out posegen-q8 --precision q8":
          "In 17 GiB of weights in place of 31",
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

function pullCommand(): Command {
  return new Command("pull")
    .summary("get a published model from the Hugging Face Hub")
    .description(
      "Gets all files of a published model from the Hugging Face Hub into the cache that its clients share, says where " +
        "they are and what to run next. Every file is compared with its checksum; a command that was stopped goes on " +
        "where it was. The names: posegen, everything that the published model needs, and wan2.1-i2v-14b-720p, what it " +
        "was finetuned from. Environment: HF_TOKEN, HF_ENDPOINT, HF_HOME, HF_HUB_CACHE, HF_HUB_OFFLINE.",
    )
    .argument("<name>", "posegen or wan2.1-i2v-14b-720p")
    .option(
      "--to <folder>",
      "put the files into a folder of their own, which --model takes (default: the cache)",
    )
    .addHelpText(
      "after",
      examples({
        "posegen models pull posegen": "Into the cache",
        "posegen models pull posegen --to checkpoints": "Into one folder",
      }),
    )
    .action(async (name: string, { to }: { readonly to?: string }) => {
      const [{ pullModel }, { runWithBytes }] = await Promise.all([
        import("../../models/pull-model.ts"),
        import("../run-with-bytes.ts"),
      ]);
      const kept = "What came is kept; run the same command again to go on from there.";
      console.log(await runWithBytes(kept, (options) => pullModel({ name, to }, options)));
    });
}

interface PlanFlags {
  readonly model?: string;
  readonly size?: { readonly width: number; readonly height: number };
  readonly frames?: number;
  readonly segmentFrames?: number;
  readonly steps?: number;
  readonly guidance?: number;
  /** False with --no-kv-share. */
  readonly kvShare?: boolean;
  readonly device?: string;
  readonly precision?: string;
  readonly memory?: number;
  readonly gflops?: number;
}

function planCommand(): Command {
  return new Command("plan")
    .summary("say what a video would take in memory and time, and what fits")
    .description(
      "Counts the memory and time of a video from the shapes of a model: nothing is run, and of the published model no " +
        "file is needed. Where it does not fit, ways are shown that take less: without background sharing, with shorter " +
        "segments. For this machine its speed is measured with a matrix product of about a second.",
    )
    .option("--model <path>", "a model in any layout (default: the published PoseGen, without its files)")
    .option(
      "--size <WxH>",
      "width and height of the result, multiples of 16 (default: the model's)",
      parseSize,
    )
    .option("--frames <n>", "frames of the result (default: 10 seconds)", parseNumber)
    .option("--segment-frames <n>", "frames of a segment, 4k + 1 (default: the model's)", parseNumber)
    .option("--steps <n>", "denoising steps (default: the model's)", parseNumber)
    .option(
      "--guidance <scale>",
      "weight of the prompt; 1 = none, twice as fast (default: the model's)",
      parseNumber,
    )
    .option("--no-kv-share", "without background sharing (default: as for a full-body shot)")
    .option("--device <name>", "cpu, cuda, webgpu, dml, coreml or auto (default: cpu)")
    .option(
      "--precision <type>",
      "what weights are stored in, as `models convert` writes them: f32, f16, bf16, q8 or q4; or int8, as `models " +
        "calibrate` has prepared the model (default: as they are; bf16)",
    )
    .option("--memory <GiB>", "memory of the machine planned for (default: what is free here)", parseNumber)
    .option(
      "--gflops <n>",
      "speed of the machine planned for, as its `posegen doctor` prints it (default: measured here)",
      parseNumber,
    )
    .addHelpText(
      "after",
      examples({
        "posegen models plan --memory 24": "The published model in 24 GiB",
        "posegen models plan --size 480x832 --frames 300 --memory 80 --gflops 2000": "For another machine",
        "posegen models plan --model weights/posegen-mini": "The embedded model, here",
      }),
    )
    .action(async ({ guidance, memory, kvShare, ...flags }: PlanFlags) => {
      const { planModelText } = await import("../../models/plan-model.ts");
      const request = {
        ...flags,
        guidanceScale: guidance,
        memoryGiB: memory,
        kvShare: kvShare === false ? ("off" as const) : undefined,
      };
      console.log(await planModelText(request, (message) => console.error(message)));
    });
}
