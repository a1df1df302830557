import { mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { takeLock } from "../../pipeline/lock.ts";
import { UserError } from "../../tensor/errors.ts";

/**
 * Makes the folder of a dataset and works in it alone.
 * @param below folders inside it, made too
 * @throws UserError when it cannot be made, or another run is using it
 */
export async function inOutputFolder<T>(
  out: string,
  below: readonly string[],
  work: () => Promise<T>,
): Promise<T> {
  const folders = [out, ...below.map((name) => join(out, name))];
  for (const folder of folders) {
    await mkdir(folder, { recursive: true }).catch((cause: Error) => {
      throw new UserError(`cannot make the folder ${folder}: ${cause.message}`, { cause });
    });
  }
  const unlock = await takeLock(join(out, "lock"));
  try {
    for (const folder of folders) await removePartialFiles(folder);
    return await work();
  } finally {
    await unlock();
  }
}

/** What killed runs have left half-written. */
async function removePartialFiles(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    if (name.endsWith(".partial")) await rm(join(folder, name), { force: true });
  }
}
