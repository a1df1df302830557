import { Command } from "commander";
import { examples } from "../help.ts";

export function loraCommand(): Command {
  return new Command("lora")
    .summary("look into LoRA files, rename them, merge them into a model")
    .description(
      "Works on LoRA files of every naming: PEFT folders, diffusion_model (lora_A and lora_B, or lora_down and lora_up), " +
        "kohya, the published checkpoints and this project's. A pair adds alpha / rank · B A to its weight, with the " +
        "alpha that its file gives, and B A where it gives none.",
    )
    .addCommand(inspectCommand())
    .addCommand(convertCommand())
    .addCommand(mergeCommand());
}

function inspectCommand(): Command {
  return new Command("inspect")
    .summary("say what a LoRA changes")
    .description(
      "Says what a LoRA changes: its naming, every kind of layer with rank and scale, and whole weights.",
    )
    .argument("<lora>", "a .safetensors file or a PEFT folder")
    .addHelpText(
      "after",
      examples({
        "posegen lora inspect weights/posegen-mini/phase1.safetensors": "A phase of the embedded model",
      }),
    )
    .action(async (lora: string) => {
      const { describeLora } = await import("../../lora/inspect-lora.ts");
      console.log(await describeLora(lora));
    });
}

interface ConvertFlags {
  readonly to: string;
  readonly out: string;
}

function convertCommand(): Command {
  return new Command("convert")
    .summary("write a LoRA under another naming")
    .description(
      "Writes a LoRA under another naming. Its numbers stay as they are, its scale too. PEFT's is a folder with " +
        "adapter_config.json, all others are one .safetensors file.",
    )
    .argument("<lora>", "a .safetensors file or a PEFT folder")
    .requiredOption(
      "--to <naming>",
      "peft, diffusion-model, diffusion-model-updown (lora_down and lora_up), kohya, published or posegen",
    )
    .requiredOption("--out <path>", "the file to write, or the folder for PEFT")
    .addHelpText(
      "after",
      examples({
        "posegen lora convert weights/posegen-mini/phase1.safetensors --to peft --out phase1-peft":
          "For programs that use PEFT",
        "posegen lora convert phase1-peft --to posegen --out phase1.safetensors": "And back",
      }),
    )
    .action(async (lora: string, flags: ConvertFlags) => {
      const { convertLora } = await import("../../lora/convert-lora.ts");
      console.log(await convertLora({ lora, ...flags }));
    });
}

interface MergeFlags {
  readonly base: string;
  readonly out: string;
  readonly dtype?: string;
}

function mergeCommand(): Command {
  return new Command("merge")
    .summary("write a model with LoRAs merged into it")
    .description(
      "Writes the denoiser's weights with LoRAs merged into them in order, so that programs without LoRA can use them. " +
        "One weight is in memory at a time.",
    )
    .argument("<lora[:weight]...>", "LoRAs; a weight of 1 (the default) applies them as trained")
    .requiredOption("--base <checkpoint>", "a .safetensors file or a folder of shards")
    .requiredOption("--out <file>", "the .safetensors file to write")
    .option("--dtype <type>", "float32, float16 or bfloat16 (default: the base's)")
    .addHelpText(
      "after",
      examples({
        "posegen lora merge weights/posegen-mini/phase1.safetensors --base weights/posegen-mini/dit.safetensors --out merged.safetensors":
          "The denoiser of phase 1 in one file",
        "posegen lora merge phase1-peft film.safetensors:0.6 --base dit.safetensors --out merged.safetensors --dtype bfloat16":
          "Two LoRAs, the second at 60 %",
      }),
    )
    .action(async (loras: string[], flags: MergeFlags) => {
      const { mergeLoraFiles } = await import("../../lora/merge-lora.ts");
      console.log(await mergeLoraFiles({ loras, ...flags }));
    });
}
