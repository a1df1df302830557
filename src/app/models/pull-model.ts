/** Gets a published model from the Hugging Face Hub. */
import { mkdir } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { explainWriteFailure, writeFileAtomically } from "../../files/atomic-file.ts";
import { checkFreeSpace } from "../../files/free-space.ts";
import { findSources, type FoundSources } from "../../diffusion/layouts/places.ts";
import { findWeights } from "../../diffusion/layouts/weight-naming.ts";
import { defaultCacheFolder } from "../../perception/tflite/model-cache.ts";
import { takeLock } from "../../pipeline/lock.ts";
import { openCheckpoint } from "../../runtime/checkpoint.ts";
import { formatBytes } from "../cli/quantities.ts";
import { hubAccess, type HubAccess } from "./hub/access.ts";
import { lookUp, type Selection } from "./hub/catalogue.ts";
import type { FetchOptions } from "./hub/fetch-file.ts";
import { findFiles, type Snapshot } from "./hub/repository.ts";
import { cacheStore, folderStore, type HubStore } from "./hub/store.ts";
import type { TransferOptions } from "./transfer.ts";

export interface PullRequest {
  /** A name of the catalogue. */
  readonly name: string;
  /** A folder to put the files into; absent: the cache that the Hub's clients share. */
  readonly to?: string | undefined;
}

export interface PullOptions extends TransferOptions, Pick<FetchOptions, "pausesMs"> {}

/**
 * Fetches what is missing of a model. Files that are there are kept, files that are not whole are gone on with, and every
 * file is compared with its checksum.
 * @returns where it is, and what to run next
 * @throws UserError when the Hub cannot be reached or refuses, a checksum is wrong, or the disk is full
 */
export async function pullModel({ name, to }: PullRequest, options: PullOptions): Promise<string> {
  const pullable = lookUp(name);
  const access = await hubAccess();
  const store = to === undefined ? cacheStore(access.cacheFolder) : folderStore(resolve(to));
  const model = await withLock(store, async () => {
    const folders = await pullSelections(pullable.selections, store, access, options);
    const sources = await sourcesIn(folders);
    if (pullable.base && !(await holdsBase(sources))) {
      options.onNotice("the finetuning holds no frozen weights: those of the original model are needed too");
      folders.push(...(await pullSelections([pullable.base], store, access, options)));
    }
    // One folder is a model by itself; several need a file that names the parts.
    const places = new Set(folders);
    return places.size === 1 ? folders[0]! : writeParts(name, await sourcesIn([...places]));
  });
  return [
    `${name} is in ${model}`,
    "Next:",
    `  posegen models inspect ${model}`,
    `  posegen models plan --model ${model}`,
    `  posegen generate --model ${model} --image me.png --video dance.mp4 --out me-dancing.mp4`,
  ].join("\n");
}

async function withLock<T>({ lock }: HubStore, work: () => Promise<T>): Promise<T> {
  const unlock = await mkdir(dirname(lock), { recursive: true })
    .then(() => takeLock(lock))
    .catch((error: unknown) => {
      throw explainWriteFailure(error, lock);
    });
  try {
    return await work();
  } finally {
    await unlock();
  }
}

/** @returns the folder of each selection */
async function pullSelections(
  selections: readonly Selection[],
  store: HubStore,
  access: HubAccess,
  options: PullOptions,
): Promise<string[]> {
  const { signal, onNotice } = options;
  const snapshots: Snapshot[] = [];
  for (const { repo, files } of selections) snapshots.push(await findFiles(access, repo, files, signal));
  let [totalBytes, bytesThere, numFiles] = [0, 0, 0];
  for (const snapshot of snapshots) {
    for (const file of snapshot.files) {
      numFiles++;
      totalBytes += file.numBytes;
      bytesThere += await store.bytesThere(file, snapshot);
    }
  }
  onNotice(
    `${numFiles} files, ${formatBytes(totalBytes)}, of which ${formatBytes(bytesThere)} are there, in ${store.folder}`,
  );
  await checkFreeSpace(store.folder, totalBytes - bytesThere);
  let doneBytes = 0;
  const onBytes = (numBytes: number): void => {
    doneBytes += numBytes;
    options.onProgress({ name: "fetch", doneBytes, totalBytes });
  };
  for (const snapshot of snapshots) {
    for (const file of snapshot.files) {
      if (await store.holds(file, snapshot, signal)) onBytes(file.numBytes);
      else await store.fetch(file, snapshot, { ...options, access, commit: snapshot.commit, onBytes });
    }
    await store.finish(snapshot);
  }
  return snapshots.map((snapshot) => store.placeOf(snapshot));
}

/** The parts in several folders; where two have the same one, the first goes before. */
async function sourcesIn(folders: readonly string[]): Promise<FoundSources> {
  const found = await Promise.all(folders.map(findSources));
  return Object.assign({}, ...found.toReversed()) as FoundSources;
}

async function holdsBase({ base, dit }: FoundSources): Promise<boolean> {
  if (dit !== undefined) return true;
  return base !== undefined && findWeights("dit", await openCheckpoint(base)) !== null;
}

async function writeParts(name: string, sources: FoundSources): Promise<string> {
  const path = join(defaultCacheFolder(), "models", `${name.replaceAll("/", "--").toLowerCase()}.json`);
  await mkdir(dirname(path), { recursive: true });
  const text = `${JSON.stringify({ parts: sources }, null, 1)}\n`;
  await writeFileAtomically(path, (handle) => handle.writeFile(text));
  return path;
}
