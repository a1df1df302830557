/** Whole experiments with the tiny model. */
import { mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { checkTrainingConfig } from "../train/config.ts";
import { runTraining } from "../train/run-training.ts";
import { tinySettings, writeSettings, writeTinyWorld } from "../train/testing.ts";
import { curvePlot, ranksPlot } from "./charts.ts";
import type { ExperimentOptions } from "./compare-models.ts";
import { EXPERIMENT_METRICS } from "./figures.ts";
import { loraRanks } from "./lora-ranks.ts";
import { phase1Curve } from "./phase1-curve.ts";
import { curveMarkdown, experimentJson, ranksMarkdown, spread } from "./report.ts";
import { readPhase1Config } from "./trained-model.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "posegen-experiments-"));
  await writeTinyWorld(folder);
});
afterAll(() => rm(folder, { recursive: true }));

const QUIET = { signal: new AbortController().signal, listener: { say() {}, step() {} } };

/** Pictures: two steps of two each. */
const PICTURES = { stages: [{ untilStep: 2, latentFrames: 1, batch: 2 }] };

async function optionsFor(out: string, changes: object): Promise<ExperimentOptions> {
  const settings = { ...tinySettings(folder, "phase1"), ...changes };
  const config = await readPhase1Config(await writeSettings(join(folder, `${out}.yaml`), settings));
  return {
    ...QUIET,
    config,
    out: join(folder, out),
    numClips: 2,
    numJobs: 2,
    seed: 0,
    poseStep: 4,
    poseQuality: "lite",
  };
}

/** When each file of a folder was written. */
async function timesIn(path: string): Promise<Record<string, number>> {
  const names = (await readdir(path, { recursive: true })).filter((name) => /\.\w+$/.test(name)).sort();
  const times = names.map(async (name) => [name, (await stat(join(path, name))).mtimeMs] as const);
  return Object.fromEntries(await Promise.all(times));
}

test("a curve of single pictures, over a base that has seen no skeleton", { timeout: 600_000 }, async () => {
  const base = { ...tinySettings(folder, "base"), ...PICTURES, drop: { pose: 1 } };
  await runTraining(checkTrainingConfig(base, "test"), { ...QUIET, resume: true });
  const options = await optionsFor("curve", { ...PICTURES, from: join(folder, "base") });
  const curve = await phase1Curve(options);

  expect(curve.settings).toMatchObject({ numFrames: 1, width: 32, height: 48, numClips: 2 });
  expect(curve.points.map(({ step }) => step)).toEqual([0, 1, 2]);
  const { truth, vae, reference } = curve.baselines;
  expect(truth).toMatchObject({ ssim: 1, identity: 0 });
  expect(truth.frechet).toBeCloseTo(0, 6);
  expect(truth.psnr).toBeUndefined();
  const [start, , end] = curve.points.map(({ figures }) => figures);
  for (const figures of [vae, reference, curve.withoutSkeleton, start!, end!]) {
    for (const metric of Object.keys(EXPERIMENT_METRICS))
      expect(figures[metric as keyof typeof figures], metric).toBeGreaterThanOrEqual(0);
    expect(figures.identity).toBeGreaterThan(0);
    expect(figures.frechet).toBeGreaterThan(0);
  }
  // The same person, standing elsewhere, against a model that has learnt nothing.
  expect(reference.identity!).toBeLessThan(start!.identity!);
  expect(start).not.toEqual(curve.withoutSkeleton);
  expect(end).not.toEqual(start);

  const markdown = curveMarkdown(curve);
  expect(markdown).toContain("2 held-out clips of 1 frame of 32x48");
  expect(markdown).toMatch(/^\| the start, shown no skeleton \| 0 \|/m);
  expect(markdown).toMatch(/^\| 100 % of the training \| 2 \|/m);
  expect(markdown).not.toMatch(/NaN|undefined|Infinity/);
  expect(curvePlot(curve)).toContain("PCK@0.1");
  expect(curvePlot(curve)).not.toMatch(/NaN|undefined/);

  const before = await timesIn(options.out);
  expect(experimentJson(await phase1Curve(options))).toBe(experimentJson(curve));
  expect(await timesIn(options.out)).toEqual(before);
  await rm(join(options.out, "models", "phase1", "step-1"), { recursive: true });
  await expect(phase1Curve(options)).rejects.toThrow("has gone on to step 2");
  const other = { ...options, config: { ...options.config, shift: 4 } };
  await expect(phase1Curve(other)).rejects.toThrow("shift was 5 and is 4");
});

test("ranks of LoRA over a model folder, with several seeds", { timeout: 600_000 }, async () => {
  const lora = { rank: 2, alpha: 4 };
  const options = await optionsFor("ranks", { lora, stages: [{ untilStep: 1, latentFrames: 3, batch: 1 }] });
  const experiment = await loraRanks({ ...options, ranks: [1, 4], trainingSeeds: [1, 2] });
  expect(experiment.ranks.map(({ rank, alpha }) => [rank, alpha])).toEqual([
    [1, 2],
    [4, 8],
  ]);
  const all = experiment.ranks.flatMap(({ seeds }) => seeds.map(({ figures }) => figures.ssim));
  expect(new Set([...all, experiment.start.ssim]).size).toBe(5);
  const markdown = ranksMarkdown(experiment);
  expect(markdown).toMatch(/^\| rank 1 \| 2 \|.* ± .*\| 465 \|$/m);
  expect(markdown).not.toMatch(/NaN|undefined|Infinity/);
  expect(ranksPlot(experiment)).toContain("SSIM");
});

test("a mean with its deviation", () => {
  const format = { title: "", digits: 2 };
  expect(spread([1, 3], format)).toBe("2.00 ± 1.41");
  expect(spread([1], format)).toBe("1.00");
  expect(spread([], format)).toBe("–");
});

test("only first phases are experimented with", async () => {
  const path = await writeSettings(join(folder, "other.yaml"), tinySettings(folder, "base"));
  await expect(readPhase1Config(path)).rejects.toThrow("kind is base");
});
