/**
 * How well the person of a driving video is found and followed, on rendered clips whose truth is known.
 * Usage: npx tsx bench/perception.ts [lite|full|heavy] [words of the clips' names]
 *
 * Without a network it is heavy, which `prepare` and `generate` take. Each clip's figures are kept in
 * out/perception/<network>; clips that are there are not run again. The table of all of them, which names the network, is
 * table.md beside them.
 */
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Clip } from "./perception/clip.ts";
import { CLIPS, type NamedClip } from "./perception/clips.ts";
import { deliver, type Outcome, outcomeOf } from "./perception/delivery.ts";
import { follow, type Followed, type Quality } from "./perception/follow.ts";
import { type Figures, hipsOf, judge } from "./perception/judge.ts";

interface Row extends Figures, Outcome {
  readonly name: string;
  readonly numExpected: number;
}

async function measure({ name, make, delivery }: NamedClip, quality: Quality): Promise<Row> {
  const clip = make();
  if (!delivery) {
    const { found, smoothed } = await followFirst(clip, quality);
    const numExpected = clip.frames.length;
    return { name, ...judge(clip, found, smoothed), numFrames: smoothed.length, numExpected, sound: null };
  }
  const folder = await mkdtemp(join(tmpdir(), "posegen-perception-"));
  try {
    const read = await deliver(clip, delivery, folder);
    const { found, smoothed } = await followFirst(read, quality);
    const outcome = await outcomeOf(read, delivery, smoothed, folder);
    return { name, ...judge(read, found, smoothed), ...outcome, numExpected: read.numExpected };
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** The person to follow is chosen by a pixel on them in the first frame, as `--person X,Y` does. */
async function followFirst({ frames, fps, truth }: Clip, quality: Quality): Promise<Followed> {
  const source = frames.map((image, i) => ({ image, timeS: i / fps }));
  return follow(() => source, quality, hipsOf(truth[0]![0]!.pose));
}

const COLUMNS: readonly (readonly [title: string, cell: (row: Row) => string])[] = [
  ["clip", ({ name }) => name],
  ["frames", ({ numFrames, numExpected }) => `${numFrames}/${numExpected}`],
  ["right", ({ numRight, numVisible }) => `${numRight}/${numVisible}`],
  ["wrong", ({ numWrong }) => `${numWrong}`],
  ["switches", ({ numSwitches }) => `${numSwitches}`],
  ["error %", ({ error }) => percent(error)],
  ["jitter %", ({ jitter }) => percent(jitter)],
  ["smoothed %", ({ smoothedJitter }) => percent(smoothedJitter)],
  ["delay", ({ delayFrames }) => delayFrames.toFixed(2)],
  ["hands", ({ numHandsFound, numHandsVisible }) => `${numHandsFound}/${numHandsVisible}`],
  ["sound", ({ sound }) => (sound ? `${sound.late}, ${sound.long}` : "")],
];

const percent = (share: number): string => (100 * share).toFixed(1);

function tableOf(rows: readonly Row[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |\n`;
  const body = rows.map((row) => line(COLUMNS.map(([, cell]) => cell(row))));
  return line(COLUMNS.map(([title]) => title)) + line(COLUMNS.map(() => "---")) + body.join("");
}

const [quality = "heavy", ...words] = process.argv.slice(2);
if (quality !== "lite" && quality !== "full" && quality !== "heavy")
  throw new Error(`no network "${quality}"; expected lite, full or heavy`);
const folder = join("out", "perception", quality);
await mkdir(folder, { recursive: true });
const rows: Row[] = [];
for (const clip of CLIPS) {
  if (!words.every((word) => clip.name.includes(word))) continue;
  const path = join(folder, `${clip.name.replaceAll(/[^a-z\d.]+/g, "-")}.json`);
  if (!existsSync(path)) await writeFile(path, JSON.stringify(await measure(clip, quality)));
  const row = JSON.parse(await readFile(path, "utf8")) as Row;
  console.log(tableOf([row]).split("\n")[2]);
  rows.push(row);
}
const title = `Pose network ${quality}, ${rows.length} of ${CLIPS.length} clips.\n\n`;
await writeFile(join(folder, "table.md"), title + tableOf(rows));
