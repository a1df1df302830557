/**
 * Finished work on disk. A run is a list of steps; the files of a finished step are recorded with a hash of all
 * that went into them, so that a run which was killed at any point goes on where it stopped and ends with the
 * bytes of an uninterrupted one.
 */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, readFile, readdir, rename, rm, rmdir, stat } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { z } from "zod";
import { explainWriteFailure, writeFileAtomically } from "../files/atomic-file.ts";
import { UserError } from "../tensor/errors.ts";
import { takeLock } from "./lock.ts";

/** Layout of a work directory; another number means files of another meaning. */
const FORMAT = 1;

const MANIFEST = "run.json";
const LOCK = "lock";

/** Contents of `run.json`. */
export const manifestSchema = z.object({ format: z.number(), settings: z.record(z.string(), z.string()) });

/** Contents of a finished step's `<id>.json`. */
export const recordSchema = z.object({
  key: z.string(),
  durationMs: z.number(),
  files: z.array(z.object({ name: z.string(), byteLength: z.number(), sha256: z.string() })),
});

type StepRecord = z.infer<typeof recordSchema>;

/** Everything that determines a run's result, as readable text by name, e.g. `{ seed: "7", image: "sha256 …" }`. */
export type RunSettings = Readonly<Record<string, string>>;

export interface Step {
  /** File-name safe and unique in the run, e.g. `segment-0003`. */
  readonly id: string;
  /** What the step depends on beside the run's settings, e.g. the keys of earlier steps. */
  readonly needs?: readonly string[];
  /** Names of the files it writes. */
  readonly files: readonly string[];
  /** Writes the files at the given paths. */
  readonly run: (paths: readonly string[]) => Promise<void>;
}

export interface FinishedStep {
  /** Hash of the settings, the step and its needs. */
  readonly key: string;
  readonly paths: readonly string[];
  /** True when an earlier run had finished it. */
  readonly reused: boolean;
}

/** A folder that one run owns; see `open`. */
export class WorkDirectory {
  private constructor(
    readonly path: string,
    private readonly settingsHash: string,
    private readonly unlock: () => Promise<void>,
  ) {}

  /**
   * Creates the folder, or opens it to go on with the same run.
   * @param startAgain removes what an earlier run has left in it, whatever its settings
   * @throws UserError when it cannot be made, is in use, holds other things, belongs to other settings (they are named)
   * or to another version, or when the disk is full; folders that were made for it are gone then
   */
  static async open(path: string, settings: RunSettings, startAgain = false): Promise<WorkDirectory> {
    const made = await mkdir(path, { recursive: true }).catch((cause: Error) => {
      throw new UserError(`cannot make the work directory ${path}: ${cause.message}`, { cause });
    });
    try {
      return await WorkDirectory.take(path, settings, startAgain);
    } catch (error) {
      if (made !== undefined) await removeEmptyFolders(path, made);
      throw explainWriteFailure(error, path);
    }
  }

  /** Takes the lock of a folder, and checks or writes its manifest. */
  private static async take(
    path: string,
    settings: RunSettings,
    startAgain: boolean,
  ): Promise<WorkDirectory> {
    await checkOwnership(path);
    const unlock = await takeLock(join(path, LOCK));
    try {
      if (startAgain) await empty(path);
      await removePartialFiles(path);
      await checkManifest(path, settings);
      return new WorkDirectory(path, hashOf(JSON.stringify(Object.entries(settings).sort())), unlock);
    } catch (error) {
      await unlock();
      throw error;
    }
  }

  /** A step that an earlier run has finished with the same inputs and whose files are whole, or null. */
  async find({ id, needs = [], files }: Omit<Step, "run">): Promise<FinishedStep | null> {
    const key = this.keyOf(id, needs);
    if (!(await this.isFinished(id, key, files))) return null;
    return { key, paths: this.pathsOf(files), reused: true };
  }

  /** Runs a step, or finds that an earlier run has finished it. */
  async step({ run, ...step }: Step): Promise<FinishedStep> {
    const finished = await this.find(step);
    if (finished) return finished;
    const { id, needs = [], files } = step;
    const key = this.keyOf(id, needs);
    const paths = this.pathsOf(files);
    const startedAt = performance.now();
    const temporary = paths.map((path) => `${path}.partial`);
    await run(temporary).catch((error: unknown) => {
      throw explainWriteFailure(error, this.path);
    });
    const record: StepRecord = { key, durationMs: 0, files: [] };
    for (const [i, name] of files.entries()) {
      const { size } = await stat(temporary[i]!);
      record.files.push({ name, byteLength: size, sha256: await hashFile(temporary[i]!) });
      await rename(temporary[i]!, paths[i]!);
    }
    record.durationMs = Math.round(performance.now() - startedAt);
    await this.writeJson(`${id}.json`, record);
    return { key, paths, reused: false };
  }

  /** Removes a finished step's files that nothing needs any more. Its record goes first. */
  async discard(id: string, files: readonly string[]): Promise<void> {
    await rm(join(this.path, `${id}.json`), { force: true });
    for (const name of files) await rm(join(this.path, name), { force: true });
  }

  /** True when no step has been finished yet. */
  async isEmpty(): Promise<boolean> {
    const names = await readdir(this.path);
    return !names.some((name) => name.endsWith(".json") && name !== MANIFEST);
  }

  /** Gives the folder free for other runs. Its files stay. */
  async close(): Promise<void> {
    await this.unlock();
  }

  /** Removes the folder with everything in it. */
  async remove(): Promise<void> {
    await empty(this.path);
    await rm(this.path, { recursive: true, force: true });
  }

  private keyOf(id: string, needs: readonly string[]): string {
    return hashOf(JSON.stringify([this.settingsHash, id, needs]));
  }

  private pathsOf(files: readonly string[]): string[] {
    return files.map((name) => join(this.path, name));
  }

  private async isFinished(id: string, key: string, files: readonly string[]): Promise<boolean> {
    const text = await readFile(join(this.path, `${id}.json`), "utf8").catch(() => null);
    if (text === null) return false;
    const record = recordSchema.safeParse(parseJson(text)).data;
    if (record?.key !== key || record.files.length !== files.length) return false;
    for (const file of record.files) {
      const path = join(this.path, file.name);
      const found = await stat(path).catch(() => null);
      const whole = files.includes(file.name) && found?.size === file.byteLength;
      if (!whole || (await hashFile(path)) !== file.sha256) return false;
    }
    return true;
  }

  private async writeJson(name: string, value: unknown): Promise<void> {
    await writeJson(join(this.path, name), value);
  }
}

/** @throws UserError when a folder holds things but is no work directory */
async function checkOwnership(path: string): Promise<void> {
  const names = await readdir(path);
  if (names.includes(MANIFEST) || names.every((name) => name === LOCK || isPartial(name))) return;
  throw new UserError(
    `${path} is not a work directory and holds other files (${names.slice(0, 3).join(", ")}); ` +
      "choose an empty folder, or one that does not exist",
  );
}

/** Removes a folder and those above it up to `top`, as long as nothing is in them. */
async function removeEmptyFolders(path: string, top: string): Promise<void> {
  for (let folder = resolve(path); folder.length >= top.length; folder = dirname(folder)) {
    const isRemoved = await rmdir(folder).then(
      () => true,
      () => false,
    );
    if (!isRemoved) return;
  }
}

/** Empties a work directory. The manifest goes last: a folder that is killed half empty is still known as ours. */
async function empty(path: string): Promise<void> {
  const names = (await readdir(path)).filter((name) => name !== LOCK && name !== MANIFEST);
  for (const name of names) await rm(join(path, name), { recursive: true, force: true });
  await rm(join(path, MANIFEST), { force: true });
}

/** Removes what a killed run was writing. */
async function removePartialFiles(path: string): Promise<void> {
  for (const name of await readdir(path)) {
    if (isPartial(name)) await rm(join(path, name), { force: true });
  }
}

function isPartial(name: string): boolean {
  return name.endsWith(".partial") || name.startsWith(".partial-");
}

async function checkManifest(path: string, settings: RunSettings): Promise<void> {
  const file = join(path, MANIFEST);
  const text = await readFile(file, "utf8").catch(() => null);
  if (text === null) return writeJson(file, { format: FORMAT, settings });
  const manifest = manifestSchema.safeParse(parseJson(text)).data;
  const advice = "Choose another --work-dir, or delete this one to start again.";
  if (!manifest) throw new UserError(`${file} is not a manifest of a run. ${advice}`);
  if (manifest.format !== FORMAT) {
    throw new UserError(
      `${path} was made by another version (work directory format ${manifest.format}, this version writes ${FORMAT}). ${advice}`,
    );
  }
  const names = new Set([...Object.keys(settings), ...Object.keys(manifest.settings)]);
  const different = [...names].filter((name) => settings[name] !== manifest.settings[name]).sort();
  if (different.length > 0) {
    const list = different
      .map((name) => `${name} was ${manifest.settings[name] ?? "none"}, now ${settings[name] ?? "none"}`)
      .join("; ");
    throw new UserError(`${path} belongs to a run with other settings: ${list}. ${advice}`);
  }
}

async function writeJson(path: string, value: unknown): Promise<void> {
  await writeFileAtomically(path, async (handle) => {
    await handle.writeFile(`${JSON.stringify(value, null, 1)}\n`);
  });
}

/** Null for what is no JSON. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function hashOf(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

/** SHA-256 of a file's content, in hexadecimal. */
export async function hashFile(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest("hex");
}
