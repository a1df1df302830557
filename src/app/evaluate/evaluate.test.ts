/** A whole evaluation of a tiny model with random weights. */
import { mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { writeTinyModel } from "../../diffusion/testing.ts";
import { crop } from "../../media/resize.ts";
import { type Evaluation, evaluate } from "./evaluate.ts";
import { VIDEOS } from "./figures.ts";
import { jsonReport, markdownReport } from "./report.ts";

let folder: string;
let model: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "posegen-evaluation-"));
  model = await writeTinyModel(join(folder, "model"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

function evaluateTiny(work: string, numClips: number, numJobs: number): Promise<Evaluation> {
  return evaluate({
    model,
    numClips,
    numTrainingClips: 8,
    poseStep: 8,
    poseQuality: "lite",
    seed: 1,
    steps: 2,
    numJobs,
    work: join(folder, work),
  });
}

test("an evaluation compares all videos, and finds the same in other company", async () => {
  const evaluation = await evaluateTiny("first", 2, 2);
  expect(evaluation.clips.map(({ index }) => index)).toEqual([0, 1]);
  for (const { videos, sharing } of evaluation.clips) {
    expect(Object.keys(videos)).toEqual(Object.keys(VIDEOS));
    expect(videos.truth).toMatchObject({ ssim: 1, l1: 0, personL1: 0 });
    for (const figures of Object.values(videos)) expect(figures.pck10).toBeLessThanOrEqual(1);
    for (const name of ["vae", "generated", "unshared", "reference", "nearest"] as const) {
      expect(videos[name].psnr, name).toBeGreaterThan(3);
      expect(videos[name].l1, name).toBeGreaterThan(0);
    }
    // The reference shows the true place; a model that has learned nothing does not.
    expect(videos.reference.ssim).toBeGreaterThan(videos.generated.ssim!);
    expect(sharing.truth.personL1).toBe(0);
    expect(sharing.generated.backgroundDrift).toBeGreaterThan(0);
    expect(sharing.generated).not.toEqual(sharing.unshared);
  }

  const report = markdownReport(evaluation);
  for (const title of Object.values(VIDEOS)) expect(report).toContain(`| ${title} |`);
  expect(report).not.toMatch(/NaN|undefined|Infinity/);
  // One reference and four groups of three frames of 32x48, with gaps of 4; two clips.
  expect([evaluation.sheet.width, evaluation.sheet.height]).toEqual([13 * 32 + 4 * 4, 2 * 48 + 4]);

  const alone = await evaluateTiny("second", 1, 1);
  expect(alone.clips).toEqual(evaluation.clips.slice(0, 1));
  const rows = { left: 0, top: 0, width: evaluation.sheet.width, height: 48 };
  expect(Buffer.compare(alone.sheet.data, crop(evaluation.sheet, rows).data)).toBe(0);
}, 300_000);

test("finished clips are not made again", async () => {
  const first = await evaluateTiny("first", 2, 1);
  const records = (await readdir(join(folder, "first"), { recursive: true })).filter((name) =>
    name.endsWith(".json"),
  );
  const times = async () =>
    Promise.all(records.map(async (name) => (await stat(join(folder, "first", name))).mtimeMs));
  const before = await times();
  const again = await evaluateTiny("first", 2, 1);
  expect(await times()).toEqual(before);
  expect(jsonReport(again)).toBe(jsonReport(first));
  expect(markdownReport(again)).toBe(markdownReport(first));
}, 300_000);
