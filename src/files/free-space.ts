import { statfs } from "node:fs/promises";
import { dirname } from "node:path";
import { UserError } from "../tensor/errors.ts";

/**
 * Checks that a disk has room for what is to be written, before long work begins.
 * @param path to be written to; it need not be there yet
 * @throws UserError that names both sizes when it has not
 */
export async function checkFreeSpace(path: string, numBytes: number): Promise<void> {
  const { blocks, bavail, bsize } = await diskOf(path);
  // Some network disks do not tell.
  if (blocks === 0 || bavail * bsize >= numBytes) return;
  throw new UserError(
    `the disk is too full: ${path} needs ${gibibytes(numBytes)}, and ${gibibytes(bavail * bsize)} are free there; ` +
      "free some space, or choose a place on another disk",
  );
}

/** The disk of a path, or of the nearest folder above that is there. */
async function diskOf(path: string): Promise<{ blocks: number; bavail: number; bsize: number }> {
  try {
    return await statfs(path);
  } catch (cause) {
    const above = dirname(path);
    if (above === path) throw new UserError(`cannot write ${path}: ${(cause as Error).message}`, { cause });
    return diskOf(above);
  }
}

function gibibytes(numBytes: number): string {
  return `${(numBytes / 2 ** 30).toFixed(1)} GiB`;
}
