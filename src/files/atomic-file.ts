import { type FileHandle, mkdir, open, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { UserError } from "../tensor/errors.ts";

/**
 * The name beside `path` to write to before renaming. It is always the same, so that a run after a killed one
 * overwrites what that left; the extension stays, since writers choose formats by it. One writer per path.
 */
export function temporaryPath(path: string): string {
  return join(dirname(path), `.partial-${basename(path)}`);
}

/**
 * Runs `write` on a temporary name and renames it to `path` once it has returned, so that `path` is either complete or
 * as it was. Missing folders are made. The temporary file is removed on any failure.
 * @throws UserError for a full disk and for a place that cannot be written
 */
export async function writeAtomically(
  path: string,
  write: (temporary: string) => Promise<void>,
): Promise<void> {
  await writeThrough(temporaryPath(path), path, async (temporary) => {
    await mkdir(dirname(path), { recursive: true });
    await write(temporary);
    await syncFile(temporary);
  });
}

/**
 * As `writeAtomically`, through an open file, and safe where several processes write the same path at once: the last
 * one to finish wins. The folder has to exist.
 */
export async function writeFileAtomically(
  path: string,
  write: (handle: FileHandle) => Promise<void>,
): Promise<void> {
  await writeThrough(`${path}.${process.pid}.partial`, path, async (temporary) => {
    const handle = await open(temporary, "w");
    try {
      await write(handle);
      await handle.sync();
    } finally {
      await handle.close();
    }
  });
}

async function writeThrough(
  temporary: string,
  path: string,
  write: (temporary: string) => Promise<void>,
): Promise<void> {
  try {
    await write(temporary);
    await rename(temporary, path);
    await syncDirectory(dirname(path));
  } catch (error) {
    await removeLeftover(temporary);
    throw explainWriteFailure(error, path);
  }
}

/** Makes a rename itself survive a power loss; systems that cannot open directories skip it. */
async function syncDirectory(path: string): Promise<void> {
  if (process.platform !== "win32") await sync(path, "r");
}

/** Removes a temporary file if it is there. Only a courtesy: the failure to tell is the one that led here. */
export async function removeLeftover(path: string): Promise<void> {
  await rm(path, { force: true }).catch(() => {});
}

/** Flushes a file to the disk: a rename must not become durable before the content. */
export async function syncFile(path: string): Promise<void> {
  await sync(path, "r+");
}

async function sync(path: string, flags: string): Promise<void> {
  const file = await open(path, flags);
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Codes of faults of a place, other than that it is full. */
const UNWRITABLE = new Set([
  "EACCES",
  "EPERM",
  "EROFS",
  "ENOENT",
  "ENOTDIR",
  "EISDIR",
  "EEXIST",
  "EFBIG",
  "EIO",
]);

/** A UserError for faults of the place written to; anything else is returned as it is. */
export function explainWriteFailure(error: unknown, path: string): unknown {
  if (error instanceof UserError) return error;
  const message = error instanceof Error ? error.message : String(error);
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  if (code === "ENOSPC" || code === "EDQUOT" || /no space left|disk quota/i.test(message)) {
    return new UserError(`the disk is full: could not write ${path}; free some space and run again`, {
      cause: error,
    });
  }
  if (UNWRITABLE.has(String(code))) {
    return new UserError(`cannot write ${path}: ${message}`, { cause: error });
  }
  return error;
}
