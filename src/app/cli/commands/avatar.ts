import { Command, Option } from "commander";
import { examples } from "../help.ts";
import { parseNumber, parseSize } from "../request-flags.ts";

interface AvatarFlags {
  readonly out: string;
  readonly person: number;
  readonly scene: number;
  readonly size: { readonly width: number; readonly height: number };
}

interface ClipFlags extends AvatarFlags {
  readonly motion: number;
  readonly seconds: number;
  readonly fps: number;
}

export function avatarCommand(): Command {
  return new Command("avatar")
    .summary("render people who do not exist: clips, references, the sample assets")
    .description("Renders procedural people, who serve as sample assets and as training clips.")
    .addCommand(clipCommand())
    .addCommand(referenceCommand())
    .addCommand(sampleCommand());
}

function clipCommand(): Command {
  return seedFlags(
    new Command("clip").summary("a dancing person, as MP4").description("Renders a dancing person."),
  )
    .option("--motion <seed>", "the dance", parseNumber, 0)
    .option("--seconds <n>", "length", parseNumber, 5)
    .option("--fps <n>", "frames per second", parseNumber, 16)
    .requiredOption("--out <file>", "the MP4 to write")
    .addHelpText(
      "after",
      examples({ "posegen avatar clip --person 3 --motion 8 --out dance.mp4": "Five seconds of dance" }),
    )
    .action(async (flags: ClipFlags) => {
      const { writeAvatarClip } = await import("../../avatar-files.ts");
      console.log(await writeAvatarClip({ ...flags, ...flags.size }));
    });
}

function referenceCommand(): Command {
  return seedFlags(
    new Command("reference")
      .summary("a standing person, as PNG or JPEG")
      .description("Renders a standing person, as reference images show them."),
  )
    .requiredOption("--out <file>", "the PNG or JPEG to write")
    .addHelpText("after", examples({ "posegen avatar reference --person 3 --out person.png": "One picture" }))
    .action(async (flags: AvatarFlags) => {
      const { writeAvatarReference } = await import("../../avatar-files.ts");
      console.log(await writeAvatarReference({ ...flags, ...flags.size }));
    });
}

function sampleCommand(): Command {
  return new Command("sample")
    .summary("the sample assets of `posegen demo`")
    .description("Renders the sample assets of `posegen demo` again: reference.png and dance.mp4.")
    .argument("<folder>", "folder to write into")
    .addHelpText(
      "after",
      examples({ "posegen avatar sample assets/sample": "The same files as in the package" }),
    )
    .action(async (folder: string) => {
      const { writeSampleAssets } = await import("../../sample-assets.ts");
      const { reference, video } = await writeSampleAssets(folder);
      console.log(`${reference}\n${video}`);
    });
}

function seedFlags(command: Command): Command {
  const size = new Option("--size <WxH>", "width and height, even numbers");
  return command
    .option("--person <seed>", "body, face, hair and clothes", parseNumber, 0)
    .option("--scene <seed>", "place, light and shot", parseNumber, 0)
    .addOption(size.argParser(parseSize).default({ width: 512, height: 768 }, "512x768"));
}
