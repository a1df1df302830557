import { open, readFile, rm } from "node:fs/promises";
import { UserError } from "../tensor/errors.ts";

/**
 * Creates a lock file that names this process. A lock whose process is gone (killed, or the machine restarted)
 * is taken over.
 * @returns a function that gives the lock back; a lock that cannot be written whole is not left behind
 * @throws UserError when a living process holds it
 */
export async function takeLock(path: string): Promise<() => Promise<void>> {
  for (;;) {
    try {
      const handle = await open(path, "wx");
      const unlock = (): Promise<void> => rm(path, { force: true });
      try {
        await handle.writeFile(`${process.pid}\n`);
      } catch (error) {
        await unlock();
        throw error;
      } finally {
        await handle.close();
      }
      return unlock;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
    const holder = Number(await readFile(path, "utf8").catch(() => ""));
    if (holder > 0 && holder !== process.pid && isAlive(holder)) {
      throw new UserError(
        `${path} is held by process ${holder}: another run is using this folder. Wait for it, or stop it.`,
      );
    }
    await rm(path, { force: true });
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
