/** Compares a model's files with the checksums that are known of them: those that a Hub cache names its blobs by. */
import { lstat, readdir, realpath, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { findSources } from "../../diffusion/layouts/places.ts";
import { readPartsFile } from "../../diffusion/layouts/parts-file.ts";
import { MODEL_JSON } from "../../diffusion/model-folder.ts";
import { isCheckpointName } from "../../runtime/checkpoint.ts";
import { UserError } from "../../tensor/errors.ts";
import { digestOf } from "./hub/fetch-file.ts";
import type { Digest } from "./hub/repository.ts";
import type { TransferOptions } from "./transfer.ts";

export type HashOptions = Partial<Pick<TransferOptions, "signal" | "onProgress">>;

export interface HashCheck {
  /** Files that were compared, and those of which no checksum is known. */
  readonly numCompared: number;
  readonly numUnknown: number;
  /** A line for each file with other bytes than it should have. */
  readonly faults: readonly string[];
}

/**
 * Reads every file of a model whose checksum is known and compares the two. Files outside a Hub cache have none.
 * @throws UserError when the model or one of its files cannot be read
 */
export async function checkHashes(
  model: string,
  { signal, onProgress = () => {} }: HashOptions = {},
): Promise<HashCheck> {
  const files = await filesOf(model);
  const known: KnownFile[] = [];
  for (const path of files) {
    const file = await knownFile(path);
    if (file) known.push(file);
  }
  const totalBytes = known.reduce((sum, { numBytes }) => sum + numBytes, 0);
  let doneBytes = 0;
  const onBytes = (numBytes: number): void => {
    doneBytes += numBytes;
    onProgress({ name: "hash", doneBytes, totalBytes });
  };
  const faults: string[] = [];
  for (const { path, blob, numBytes, digest } of known) {
    const options = { onBytes, ...(signal && { signal }) };
    const got = await digestOf(blob, digest.kind, numBytes, options).catch((cause: Error) => {
      signal?.throwIfAborted();
      throw new UserError(`${path} cannot be read: ${cause.message}`, { cause });
    });
    if (got === digest.hex) continue;
    const words = digest.kind === "sha256" ? "SHA-256" : "git's SHA-1";
    faults.push(
      `${path} is damaged: got ${words} ${got}, expected ${digest.hex}; delete ${blob} and pull the model again`,
    );
  }
  return { numCompared: known.length, numUnknown: files.size - known.length, faults };
}

interface KnownFile {
  readonly path: string;
  /** Where the bytes are. */
  readonly blob: string;
  readonly numBytes: number;
  readonly digest: Digest;
}

/** Forms of a blob's name: SHA-256 of large files, git's digest of small ones. */
const BLOB_NAMES: readonly (readonly [Digest["kind"], RegExp])[] = [
  ["sha256", /^[0-9a-f]{64}$/],
  ["git", /^[0-9a-f]{40}$/],
];

/** A file that is a link into the blobs of a Hub cache; null for others. */
async function knownFile(path: string): Promise<KnownFile | null> {
  if (!(await lstat(path)).isSymbolicLink()) return null;
  const blob = await realpath(path);
  const hex = basename(blob);
  const [kind] = BLOB_NAMES.find(([, form]) => form.test(hex)) ?? [];
  if (kind === undefined || basename(dirname(blob)) !== "blobs") return null;
  return { path, blob, numBytes: (await stat(blob)).size, digest: { kind, hex } };
}

/** Files that a model is read from, before any of them is opened: damaged ones may not open. */
async function filesOf(model: string): Promise<Set<string>> {
  const found = await stat(model).catch((cause: Error) => {
    throw new UserError(`${model} cannot be read: ${cause.message}`, { cause });
  });
  if (found.isDirectory() && (await isThere(join(model, MODEL_JSON)))) return new Set(await filesIn(model));
  const sources = found.isDirectory() ? await findSources(model) : await readPartsFile(model);
  const files: string[] = [];
  for (const path of Object.values(sources)) {
    if (!(await isThere(path))) continue;
    if ((await stat(path)).isDirectory()) files.push(...(await filesIn(path)));
    else if (/\.index\.json$/i.test(path))
      files.push(...(await filesIn(dirname(path))).filter(isCheckpointName));
    else files.push(path);
  }
  return new Set(files);
}

async function filesIn(folder: string): Promise<string[]> {
  const files: string[] = [];
  for (const name of (await readdir(folder)).sort()) {
    const path = join(folder, name);
    if ((await stat(path).catch(() => null))?.isFile()) files.push(path);
  }
  return files;
}

async function isThere(path: string): Promise<boolean> {
  return (await stat(path).catch(() => null)) !== null;
}
