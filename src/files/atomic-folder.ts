import { mkdir, readdir, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { UserError } from "../tensor/errors.ts";
import { explainWriteFailure, temporaryPath } from "./atomic-file.ts";

/**
 * Runs `write` on a temporary folder and renames it to `path` once it has returned, so that `path` is either complete
 * or not there. A folder that holds files is never replaced.
 * @throws UserError when `path` is taken, the disk is full or the place cannot be written
 */
export async function writeFolderAtomically(
  path: string,
  write: (temporary: string) => Promise<void>,
): Promise<void> {
  const temporary = temporaryPath(path);
  try {
    await mkdir(dirname(path), { recursive: true });
    await rm(temporary, { recursive: true, force: true });
    await mkdir(temporary);
    await write(temporary);
    // An empty folder gives way; one with files makes rename fail.
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { recursive: true, force: true }).catch(() => {});
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOTEMPTY" || code === "EEXIST" || code === "ENOTDIR" || code === "EPERM") {
      throw isTaken(path, error);
    }
    throw explainWriteFailure(error, path);
  }
}

/**
 * What `writeFolderAtomically` finds out in the end, before long work begins.
 * @throws UserError when `path` is taken
 */
export async function checkFolderIsFree(path: string): Promise<void> {
  const found = await readdir(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw isTaken(path, error);
  });
  if (found.length > 0) throw isTaken(path);
}

function isTaken(path: string, cause?: unknown): UserError {
  return new UserError(`${path} is there already and is not an empty folder; choose another name`, { cause });
}
