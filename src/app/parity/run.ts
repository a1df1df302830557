/** Finds the golden folders in a directory and runs the check that knows each. */
import { readdir, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { z } from "zod";
import { UserError } from "../../tensor/errors.ts";
import { readConfig, row, type ParityCheck, type ParityRow } from "./check.ts";

export interface FolderReport {
  readonly folder: string;
  readonly rows: readonly ParityRow[];
}

/**
 * Reports folder by folder: `dir` itself when it has a config.json, else every folder in it. A folder that no check
 * (or more than one) knows, and a check that fails to run, give a row that does not pass.
 * @throws UserError when there is nothing to check
 */
export async function* runParity(dir: string, checks: readonly ParityCheck[]): AsyncGenerator<FolderReport> {
  for (const path of await goldenFolders(dir)) {
    const folder = basename(path);
    try {
      yield { folder, rows: await (await knownBy(path, checks)).run(path) };
    } catch (cause) {
      yield { folder, rows: [row((cause as Error).message, Number.NaN, 0)] };
    }
  }
}

async function goldenFolders(dir: string): Promise<string[]> {
  const entries = await readdir(dir, { withFileTypes: true }).catch((cause: Error) => {
    throw new UserError(`cannot list ${dir}: ${cause.message}; expected a folder of golden folders`, {
      cause,
    });
  });
  if (entries.some((entry) => entry.name === "config.json")) return [dir];
  const folders: string[] = [];
  for (const { name } of entries) {
    const path = join(dir, name);
    if (!name.startsWith(".") && (await stat(path)).isDirectory()) folders.push(path);
  }
  if (folders.length === 0)
    throw new UserError(`${dir} holds no folders; expected golden folders with a config.json`);
  return folders.sort();
}

async function knownBy(dir: string, checks: readonly ParityCheck[]): Promise<ParityCheck> {
  const { what } = await readConfig(dir, z.object({ what: z.string() }));
  const known = checks.filter((check) => check.what.test(what));
  if (known.length === 1) return known[0]!;
  throw new UserError(
    known.length === 0
      ? `no check knows this folder ("${what}")`
      : `several checks claim this folder: ${known.map(({ folder }) => folder).join(", ")} ("${what}")`,
  );
}
