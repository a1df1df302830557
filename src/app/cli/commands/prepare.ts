import { Command } from "commander";
import type { Preparation } from "../../../index.ts";
import { examples } from "../help.ts";
import { addDrivingFlags, drivingRequest, type DrivingFlags } from "../request-flags.ts";

interface PrepareFlags extends DrivingFlags {
  readonly out: string;
  readonly image?: string;
  readonly quiet?: boolean;
}

export function prepareCommand(): Command {
  const command = new Command("prepare")
    .summary("show what is found in a driving video, without generating")
    .description(
      "Finds the person and the hands in a driving video and writes what generation is conditioned on: poses, skeletons " +
        "and hand normals, with an overlay video and a page of pictures and plots to look at. With a reference image the " +
        "motion is fitted to its person.",
    )
    .requiredOption("--out <folder>", "folder to write into")
    .option("--image <file>", "reference image to fit the motion to");
  return addDrivingFlags(command)
    .option("--quiet", "say nothing but errors")
    .addHelpText(
      "after",
      examples({
        "posegen prepare --video dance.mp4 --out prepared":
          "Look at prepared/report.html and prepared/overlay.mp4",
        "posegen prepare --video dance.mp4 --image me.png --out prepared":
          "Also look at prepared/alignment.png: the motion over the picture, before and after",
        "posegen prepare --video duo.mp4 --person 2 --out prepared": "Follow the other one",
        "posegen prepare --keypoints prepared/keypoints.jsonl --out drawn --size 128x192":
          "Draw poses again, perhaps edited, at another size",
      }),
    )
    .action(prepareAction);
}

async function prepareAction(flags: PrepareFlags): Promise<void> {
  if (flags.model === undefined) await (await import("../../embedded-model.ts")).checkEmbeddedModel();
  const [{ prepare }, { runWithDisplay }, { writeReport }] = await Promise.all([
    import("../../../index.ts"),
    import("../run-with-display.ts"),
    import("../../prepare/prepare-report.ts"),
  ]);
  const request = { out: flags.out, image: flags.image, ...drivingRequest(flags) };
  const preparation = await runWithDisplay({ quiet: flags.quiet === true, workDir: null }, (options) =>
    prepare(request, options),
  );
  const page = await writeReport(request, preparation);
  if (!flags.quiet) console.log(await summaryOf(preparation, page));
}

async function summaryOf(preparation: Preparation, page: string): Promise<string> {
  const [{ formatNumber }, { textTable }] = await Promise.all([
    import("../quantities.ts"),
    import("../text-table.ts"),
  ]);
  const { numFrames, fps, width, height, shot, stillness, anchor, align, files } = preparation;
  const found = [
    ["frames", `${numFrames} at ${formatNumber(fps)} fps, drawn at ${width}x${height}`],
    ...peopleRows(preparation),
    ["body", `found in ${preparation.numWithBody}`],
    ["left hand", `found in ${preparation.numWithLeftHand}`],
    ["right hand", `found in ${preparation.numWithRightHand}`],
    ["shot", shot],
    ...stillness.map(({ segment, cameraMotion, backgroundChange, isStill }) => [
      `segment ${segment}`,
      `camera moves by ${formatNumber(100 * cameraMotion)} % of the picture, background changes by ` +
        `${formatNumber(100 * backgroundChange)} %${isStill ? ", still" : ""}${segment === anchor ? ", the anchor" : ""}`,
    ]),
    ...(files.alignment === null ? [] : [["alignment", align]]),
  ];
  const written = [page, ...Object.values(files)].flatMap((path) => (path === null ? [] : [[path]]));
  return [textTable(found), "", "Written", textTable(written)].join("\n");
}

/** Everybody in a video of several people, as `--person` numbers them. */
function peopleRows({ people, followed }: Preparation): string[][] {
  if (people.length < 2) return [];
  return people.map(({ number, fromS, toS, at, presence }) => [
    `person ${number}`,
    `at ${at.x},${at.y}, ${fromS.toFixed(1)} to ${toS.toFixed(1)} s, in ${Math.round(100 * presence)} % of it` +
      (number === followed ? ": followed" : ""),
  ]);
}
