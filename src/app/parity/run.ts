/** Finds the fixtures in a directory and runs the check that knows each. */
import { readdir, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { z } from "zod";
import { UserError } from "../../tensor/errors.ts";
import type { FixtureKind } from "./fixtures.ts";
import { parityRow, readConfig, type ParityCheck, type ParityRow } from "./rows.ts";

export interface FolderReport {
  readonly folder: string;
  readonly rows: readonly ParityRow[];
}

/**
 * Reports folder by folder: `dir` itself when it has a config.json, else every folder in it. A folder that no check
 * (or more than one) knows, and a check that fails to run, give a row that does not pass.
 * @throws UserError when there is nothing to check
 */
export async function* runParity(dir: string, kinds: readonly FixtureKind[]): AsyncGenerator<FolderReport> {
  for (const path of await fixtureFolders(dir)) {
    const folder = basename(path);
    try {
      const rows = await (await checkOf(path, kinds)).run(path);
      yield { folder, rows: rows.length > 0 ? rows : [parityRow("nothing to compare", Infinity, 0)] };
    } catch (cause) {
      yield { folder, rows: [parityRow((cause as Error).message, Infinity, 0)] };
    }
  }
}

async function fixtureFolders(dir: string): Promise<string[]> {
  const entries = await readdir(dir, { withFileTypes: true }).catch((cause: Error) => {
    throw new UserError(`cannot list ${dir}: ${cause.message}; expected a folder of fixtures`, {
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
    throw new UserError(`${dir} holds no folders; expected fixtures with a config.json`);
  return folders.sort();
}

async function checkOf(dir: string, kinds: readonly FixtureKind[]): Promise<ParityCheck> {
  const { what } = await readConfig(dir, z.object({ what: z.string() }));
  const known = kinds.filter((kind) => kind.what.test(what)).map(({ check }) => check);
  if (known.length === 1) return known[0]!;
  throw new UserError(
    known.length === 0
      ? `unknown fixture: "${what}"`
      : `the checks ${known.map(({ folder }) => folder).join(", ")} all claim this fixture: "${what}"`,
  );
}
