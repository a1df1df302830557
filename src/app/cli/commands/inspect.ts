import { Command } from "commander";
import { examples } from "../help.ts";

export function inspectCommand(): Command {
  return new Command("inspect")
    .summary("say what is in a file or folder")
    .description(
      "Says what is in a checkpoint (a .safetensors, .bin, .pth or .ckpt file, or a folder of shards), a model folder, a work directory, an " +
        "image or a video. Nothing in it is executed or changed.",
    )
    .argument("<path>", "file or folder")
    .addHelpText(
      "after",
      examples({
        "posegen inspect weights/posegen-mini": "What a model was made for, and its files",
        "posegen inspect weights/posegen-mini/dit.safetensors": "Every tensor of a checkpoint",
        "posegen inspect dance.mp4": "Size, length and rate of a video",
      }),
    )
    .action(async (path: string) => {
      const { inspect } = await import("../inspect/inspect.ts");
      console.log(await inspect(path));
    });
}
