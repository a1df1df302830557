/** For tests: a tiny model, clips of it, and settings that train it in seconds. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { stringify } from "yaml";
import { TINY_MODEL, writeTinyModel } from "../../diffusion/testing.ts";
import { type StoredClip, shardName, writeClips } from "../../training/dataset.ts";
import { type ClipRecipe, makeTrainingClip } from "../../training/render-training-clip.ts";
import { avatarIndex } from "../dataset/avatar-series.ts";
import { identifyEncoders, openEncoders, shapesFor } from "../dataset/encoders.ts";
import { writeDatasetIndex } from "../dataset/write-index.ts";

const { width, height } = TINY_MODEL.defaults;
const NUM_CLIPS = 4;

const RECIPE = { series: "test", world: "easy", width, height, numFrames: 9 } as const;

/** Writes a tiny model folder and two datasets of it: `clips`, and `pasted` with pictures at the ends. */
export async function writeTinyWorld(folder: string): Promise<void> {
  await writeTinyModel(join(folder, "model"));
  await writeTinyClips(folder, "clips", { ...RECIPE, headFrames: 0, tailFrames: 0 });
  await writeTinyClips(folder, "pasted", { ...RECIPE, headFrames: 1, tailFrames: 4 });
}

async function writeTinyClips(folder: string, name: string, recipe: ClipRecipe): Promise<void> {
  const model = join(folder, "model");
  const { description, fingerprint } = await identifyEncoders(model);
  const shapes = shapesFor(description, recipe);
  const out = join(folder, name);
  await mkdir(out);
  await writeDatasetIndex(out, avatarIndex(recipe, NUM_CLIPS, shapes, fingerprint));
  const encoders = await openEncoders(model);
  const clips: StoredClip[] = [];
  for (let i = 0; i < NUM_CLIPS; i++) clips.push(await makeTrainingClip(recipe, i, encoders));
  await encoders.release();
  await writeClips(join(out, shardName(0)), clips, shapes, fingerprint);
}

/** Settings of a phase in a folder of `writeTinyWorld`. */
export function tinySettings(folder: string, kind: "base" | "phase1" | "phase2"): Record<string, unknown> {
  return {
    kind,
    model: join(folder, "model"),
    out: join(folder, kind),
    dataset: { folder: join(folder, kind === "phase2" ? "pasted" : "clips") },
    stages: [{ untilStep: 4, latentFrames: 3, batch: 2 }],
    learningRate: { peak: 1e-3 },
    threads: 1,
    checkpoint: { everySteps: 2 },
    samples: { everySteps: null },
    generation: { steps: 2, guidanceScale: 1 },
  };
}

/** Writes settings as a YAML file; returns its path. */
export async function writeSettings(path: string, settings: unknown): Promise<string> {
  await writeFile(path, stringify(settings));
  return path;
}
