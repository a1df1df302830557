/** Where files from the Hub are put: into the cache that its clients share, or into a folder. */
import { mkdir, rename, rm, stat, symlink, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { getRepoFolderName } from "@huggingface/hub";
import { explainWriteFailure, temporaryPath } from "../../../files/atomic-file.ts";
import { fetchFile, type FetchOptions, isFetched } from "./fetch-file.ts";
import type { RemoteFile, Snapshot } from "./repository.ts";

export interface HubStore {
  /** The folder whose disk is written to. */
  readonly folder: string;
  /** A file that only one process at a time may hold. */
  readonly lock: string;
  /** The folder in which a snapshot's files have their paths. */
  placeOf(snapshot: Snapshot): string;
  /** Bytes that are there already, finished or not. */
  bytesThere(file: RemoteFile, snapshot: Snapshot): Promise<number>;
  /** Whether a file is there, whole and right. */
  holds(file: RemoteFile, snapshot: Snapshot, signal: AbortSignal): Promise<boolean>;
  fetch(file: RemoteFile, snapshot: Snapshot, options: FetchOptions): Promise<void>;
  /** To be called when all files of a snapshot are there. */
  finish(snapshot: Snapshot): Promise<void>;
}

/**
 * The cache of all clients: `models--OWNER--NAME/blobs/DIGEST` holds the bytes, `snapshots/COMMIT/PATH` links to them,
 * `refs/main` holds the newest commit. A finished blob bears its digest as its name and is believed.
 */
export function cacheStore(cacheFolder: string): HubStore {
  const repoFolder = ({ repo }: { readonly repo: string }): string =>
    join(cacheFolder, getRepoFolderName({ type: "model", name: repo }));
  const placeOf = (snapshot: Snapshot): string => join(repoFolder(snapshot), "snapshots", snapshot.commit);
  const blobOf = (file: RemoteFile): string => join(repoFolder(file), "blobs", file.digest.hex);
  const unfinished = (file: RemoteFile): string => `${blobOf(file)}.incomplete`;
  const isWhole = async (file: RemoteFile, path: string): Promise<boolean> =>
    (await sizeAt(path)) === file.numBytes;
  return {
    folder: cacheFolder,
    lock: join(cacheFolder, ".locks", "posegen-pull.lock"),
    placeOf,
    async bytesThere(file, snapshot) {
      if (await isWhole(file, join(placeOf(snapshot), file.path))) return file.numBytes;
      return (await sizeAt(blobOf(file))) ?? (await sizeAt(unfinished(file))) ?? 0;
    },
    holds: (file, snapshot) => isWhole(file, join(placeOf(snapshot), file.path)),
    async fetch(file, snapshot, options) {
      const blob = blobOf(file);
      if (await isWhole(file, blob)) options.onBytes(file.numBytes);
      else await fetchFile(file, blob, unfinished(file), options);
      await link(blob, join(placeOf(snapshot), file.path));
    },
    async finish(snapshot) {
      const ref = join(repoFolder(snapshot), "refs", "main");
      await mkdir(dirname(ref), { recursive: true });
      await writeFile(temporaryPath(ref), snapshot.commit);
      await rename(temporaryPath(ref), ref);
    },
  };
}

/** A folder of its own, with real files at the paths that they have on the Hub. What lies there is checked. */
export function folderStore(folder: string): HubStore {
  const pathOf = ({ path }: RemoteFile): string => join(folder, path);
  return {
    folder,
    lock: join(folder, ".posegen-pull.lock"),
    placeOf: () => folder,
    bytesThere: async (file) =>
      (await sizeAt(pathOf(file))) ?? (await sizeAt(temporaryPath(pathOf(file)))) ?? 0,
    holds: (file, _, signal) => isFetched(file, pathOf(file), signal),
    fetch: (file, _, options) => fetchFile(file, pathOf(file), temporaryPath(pathOf(file)), options),
    finish: async () => {},
  };
}

async function sizeAt(path: string): Promise<number | null> {
  const found = await stat(path).catch(() => null);
  return found?.isFile() ? found.size : null;
}

/** A relative link, so that the cache can be moved; the file itself where there are no links. */
async function link(blob: string, path: string): Promise<void> {
  try {
    await mkdir(dirname(path), { recursive: true });
    await rm(path, { force: true });
    await symlink(relative(dirname(path), blob), path);
  } catch (error) {
    if (process.platform !== "win32") throw explainWriteFailure(error, path);
    await rename(blob, path);
  }
}
