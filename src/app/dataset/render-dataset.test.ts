import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { writeTinyModel } from "../../diffusion/testing.ts";
import { ClipDataset, shardName } from "../../training/dataset.ts";
import { makeTrainingClip } from "../../training/render-training-clip.ts";
import { start } from "../cli/testing.ts";
import { datasetStats } from "./dataset-stats.ts";
import { openEncoders } from "./encoders.ts";
import { renderDataset } from "./render-dataset.ts";
import { readRecipe } from "./recipe-file.ts";
import { hashFiles } from "./testing.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "posegen-render-"));
  await writeTinyModel(join(folder, "model"));
  await renderDataset({ ...request("whole"), numWorkers: 2 });
}, 600_000);
afterAll(() => rm(folder, { recursive: true, force: true }));

const RECIPE = { series: "test", world: "easy", numClips: 20, headFrames: 1, tailFrames: 4 } as const;

const request = (name: string) => ({ ...RECIPE, model: join(folder, "model"), out: join(folder, name) });

test("clips are those of the series, at the model's size", async () => {
  const dataset = await ClipDataset.open(join(folder, "whole"));
  expect(dataset.index).toMatchObject({ kind: "avatar", width: 32, height: 48, numFrames: 9, headFrames: 1 });
  expect(dataset.numClips).toBe(20);
  const encoders = await openEncoders(join(folder, "model"));
  const recipe = { ...RECIPE, width: 32, height: 48, numFrames: 9 };
  const { tokens, person, video } = await makeTrainingClip(recipe, 17, encoders);
  await encoders.release();
  const clip = await dataset.clip(17);
  expect(clip.tokens).toEqual(tokens);
  expect(clip.person).toEqual(person);
  const errors = video.map((value, i) => Math.abs(value - clip.video[i]!) / (1 + Math.abs(value)));
  expect(Math.max(...errors)).toBeLessThan(1e-3);
  expect(dataset.index.clips[17]!.caption).toMatch(/is dancing/);
});

test("killed or not, one worker or two: the same bytes; more clips are added", async () => {
  const recipe = join(folder, "recipe.yaml");
  await writeFile(recipe, "series: test\nworld: easy\nnumClips: 999\nheadFrames: 1\ntailFrames: 4\n");
  const out = join(folder, "killed");
  const flags = ["--model", join(folder, "model"), "--clips", "20", "--workers", "1", "--out", out];
  const command = ["dataset", "render", "--recipe", recipe, ...flags];
  const first = start(command);
  while (!existsSync(join(out, shardName(0)))) await sleep(10);
  first.child.kill("SIGKILL");
  await first.outcome;
  expect(await start(command).outcome).toMatchObject({ exitCode: 0 });
  expect(await hashFiles(out)).toEqual(await hashFiles(join(folder, "whole")));

  await rm(join(out, shardName(1)));
  const before = await readFile(join(out, shardName(0)));
  await renderDataset({ ...request("killed"), numClips: 33 });
  expect((await ClipDataset.open(out)).numClips).toBe(33);
  expect(await readFile(join(out, shardName(0)))).toEqual(before);
  await expect(renderDataset({ ...request("killed"), world: "varied" })).rejects.toThrow(
    "holds a dataset made with other settings",
  );
});

test("recipes say what they cannot have", async () => {
  const path = join(folder, "bad.json");
  await writeFile(path, '{ "series": "a", "wrold": "easy" }');
  await expect(readRecipe(path)).rejects.toThrow('"wrold"');
  await writeFile(path, "{");
  await expect(readRecipe(path)).rejects.toThrow("is neither JSON nor YAML");
  await expect(readRecipe(join(folder, "none"))).rejects.toThrow("cannot read the recipe");
});

test("the page of figures stands alone, and shows pictures of the model that made them", async () => {
  const model = join(folder, "model");
  const stats = await datasetStats(join(folder, "whole"), { model, numSamples: 2 });
  expect(stats.poses).toHaveLength(20);
  expect(stats.latents).toHaveLength(16);
  const page = await readFile(join(folder, "whole", "stats.html"), "utf8");
  expect(page.match(/<svg /g)!.length).toBeGreaterThan(7);
  expect(page.match(/<img src="data:image\/jpeg;base64,/g)).toHaveLength(2);
  expect(page).not.toMatch(/<(?:script|link|iframe)|src="(?!data:)|@import|url\(/);
  const other = await writeTinyModel(join(folder, "other"), 2);
  await expect(datasetStats(join(folder, "whole"), { model: other })).rejects.toThrow("did not encode");
});
