import { open, rename, rm, type FileHandle } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { UserError } from "../tensor/errors.ts";

/**
 * Writes a file that exists either whole or not at all: `write` fills a temporary neighbour, which is synced
 * to the disk and then takes the name. When `write` fails, the neighbour is removed and `path` is untouched.
 * @throws UserError when the place cannot be written or the disk is full
 */
export async function writeFileAtomically(
  path: string,
  write: (handle: FileHandle) => Promise<void>,
): Promise<void> {
  const temporary = join(dirname(path), `.${basename(path)}.${process.pid}.partial`);
  try {
    const handle = await open(temporary, "w");
    try {
      await write(handle);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, path);
    await syncDirectory(dirname(path));
  } catch (cause) {
    await rm(temporary, { force: true });
    // Faults of the system have names as codes; an aborted signal's reason has a number.
    const code: unknown = (cause as NodeJS.ErrnoException).code;
    if (typeof code !== "string") throw cause;
    const reason = code === "ENOSPC" ? "the disk is full; free some space" : (cause as Error).message;
    throw new UserError(`cannot write ${path}: ${reason}`, { cause });
  }
}

/** Makes the rename itself survive a power loss; systems that cannot open directories skip it. */
async function syncDirectory(path: string): Promise<void> {
  if (process.platform === "win32") return;
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
