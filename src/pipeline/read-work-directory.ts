/** What a work directory holds, for people to look at; nothing in it is changed. */
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { UserError } from "../tensor/errors.ts";
import { manifestSchema, parseJson, recordSchema, type RunSettings } from "./work-directory.ts";

export interface RecordedStep {
  readonly id: string;
  readonly durationMs: number;
  readonly byteLength: number;
  /** False when a file is missing or has another length than recorded: the step will be done again. */
  readonly whole: boolean;
}

export interface WorkDirectoryContents {
  readonly format: number;
  readonly settings: RunSettings;
  /** Finished steps by name. */
  readonly steps: readonly RecordedStep[];
}

/** The settings of the run that a folder belongs to; null where there is none. */
export async function readSettings(path: string): Promise<RunSettings | null> {
  return (await readManifest(path))?.settings ?? null;
}

/** @throws UserError when there is no manifest of a run */
export async function readWorkDirectory(path: string): Promise<WorkDirectoryContents> {
  const manifest = await readManifest(path);
  if (!manifest) throw new UserError(`${path} is not a work directory: it has no valid run.json`);
  const steps: RecordedStep[] = [];
  for (const name of (await readdir(path)).sort()) {
    if (!name.endsWith(".json") || name === "run.json") continue;
    const record = recordSchema.safeParse(await readJson(join(path, name))).data;
    if (!record) continue;
    const { files, durationMs } = record;
    const sizes = await Promise.all(files.map(async (file) => sizeOf(join(path, file.name))));
    steps.push({
      id: name.slice(0, -".json".length),
      durationMs,
      byteLength: files.reduce((sum, file) => sum + file.byteLength, 0),
      whole: files.every((file, i) => file.byteLength === sizes[i]),
    });
  }
  return { ...manifest, steps };
}

async function readManifest(path: string) {
  return manifestSchema.safeParse(await readJson(join(path, "run.json"))).data;
}

async function readJson(path: string): Promise<unknown> {
  return parseJson(await readFile(path, "utf8").catch(() => ""));
}

async function sizeOf(path: string): Promise<number | null> {
  const found = await stat(path).catch(() => null);
  return found ? found.size : null;
}
