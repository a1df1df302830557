/** Fetches one file of the Hub: from where an earlier attempt ended, and only if its digest is right. */
import { createHash, type Hash } from "node:crypto";
import { createReadStream } from "node:fs";
import { type FileHandle, mkdir, open, rename, rm, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileDownloadInfo } from "@huggingface/hub";
import { explainWriteFailure } from "../../../files/atomic-file.ts";
import { UserError } from "../../../tensor/errors.ts";
import { type HubAccess, hubFetch } from "./access.ts";
import { AnswerError, EarlyEndError, explainHubFailure, isPassing, reasonOf } from "./failure.ts";
import type { Digest, RemoteFile } from "./repository.ts";

export interface FetchOptions {
  readonly access: HubAccess;
  readonly commit: string;
  readonly signal: AbortSignal;
  /** Told of bytes of this file that are there now: those of earlier attempts too; below 0 when they are given up. */
  readonly onBytes: (numBytes: number) => void;
  /** How long to wait before each further attempt that follows one without a byte. */
  readonly pausesMs?: readonly number[];
}

const PAUSES_MS = [1_000, 3_000, 10_000, 30_000];

/**
 * Fetches a file to `path`, which it becomes once it is whole and its digest right. Until then it is called
 * `unfinished`, from whose end a later call goes on.
 * @throws UserError when the Hub cannot be reached, the digest is wrong (what came is removed) or the disk is full
 */
export async function fetchFile(
  file: RemoteFile,
  path: string,
  unfinished: string,
  options: FetchOptions,
): Promise<void> {
  try {
    await mkdir(dirname(unfinished), { recursive: true });
    const hash = await fill(file, unfinished, options);
    if (hash.digest("hex") !== file.digest.hex) {
      await rm(unfinished, { force: true });
      options.onBytes(-file.numBytes);
      throw new UserError(
        `${file.repo}: what came as ${file.path} has another checksum than the Hub gives (${file.digest.hex}); ` +
          "it was removed, run the command again",
      );
    }
    await mkdir(dirname(path), { recursive: true });
    await rename(unfinished, path);
  } catch (error) {
    throw explainWriteFailure(error, path);
  }
}

/** Whether a file on disk is the one on the Hub, by its digest. */
export async function isFetched(file: RemoteFile, path: string, signal: AbortSignal): Promise<boolean> {
  const found = await stat(path).catch(() => null);
  if (!found?.isFile() || found.size !== file.numBytes) return false;
  return (await digestOf(path, file.digest.kind, found.size, { signal })) === file.digest.hex;
}

/**
 * The digest of a file as the Hub counts it, in hexadecimal.
 * @param onBytes told of bytes as they are read
 */
export async function digestOf(
  path: string,
  kind: Digest["kind"],
  numBytes: number,
  { signal, onBytes }: { readonly signal?: AbortSignal; readonly onBytes?: (numBytes: number) => void },
): Promise<string> {
  const hash = hashOf(kind, numBytes);
  await readInto(hash, path, signal, onBytes);
  return hash.digest("hex");
}

/** Appends to a file until it is as long as it should be. @returns the hash of everything in it */
async function fill(
  file: RemoteFile,
  path: string,
  { pausesMs = PAUSES_MS, ...options }: FetchOptions,
): Promise<Hash> {
  const hash = hashOf(file.digest.kind, file.numBytes);
  const handle = await open(path, "a");
  try {
    const { size } = await handle.stat();
    let length = size > file.numBytes ? 0 : size;
    if (length !== size) await handle.truncate(0);
    if (length > 0) await readInto(hash, path, options.signal);
    options.onBytes(length);
    for (let failures = 0; length < file.numBytes;) {
      const before = length;
      try {
        for await (const bytes of bytesFrom(file, length, options)) {
          if (length + bytes.byteLength > file.numBytes) throw tooLong(file);
          await writeAll(handle, bytes);
          hash.update(bytes);
          length += bytes.byteLength;
          options.onBytes(bytes.byteLength);
        }
        if (length < file.numBytes) throw new EarlyEndError("the connection ended early");
      } catch (error) {
        options.signal.throwIfAborted();
        failures = length > before ? 0 : failures + 1;
        if (!isPassing(error)) throw explainHubFailure(error, file.repo, options.access.url);
        if (failures > pausesMs.length) throw brokenOff(file, length, error, options.access.url);
        await sleep(pausesMs[failures - 1] ?? 0, undefined, { signal: options.signal });
      }
    }
    await handle.sync();
  } finally {
    await handle.close();
  }
  return hash;
}

/** The bytes of a file from a position on. A server that knows no ranges sends the ones before as well. */
async function* bytesFrom(
  { repo, path }: RemoteFile,
  from: number,
  { access, commit, signal }: FetchOptions,
): AsyncGenerator<Uint8Array> {
  const request = hubFetch(access, signal);
  const repository = { type: "model", name: repo } as const;
  const info = await fileDownloadInfo({
    repo: repository,
    path,
    revision: commit,
    hubUrl: access.url,
    fetch: request,
  });
  if (info === null) throw new AnswerError(404);
  // Bytes as they are: a position in something packed would mean nothing.
  const headers = { "Accept-Encoding": "identity", ...(from > 0 && { Range: `bytes=${from}-` }) };
  const response = await request(info.url, { headers });
  if (!response.ok || response.body === null) throw new AnswerError(response.status);
  let toSkip = response.status === 206 ? 0 : from;
  const begin = /^bytes (\d+)-/.exec(response.headers.get("Content-Range") ?? "")?.[1];
  if (response.status === 206 && Number(begin) !== from) {
    throw new UserError(`${repo}: asked for ${path} from byte ${from} on, the server answers from ${begin}`);
  }
  for await (const part of response.body) {
    const bytes = part as Uint8Array;
    const skipped = Math.min(toSkip, bytes.byteLength);
    toSkip -= skipped;
    if (bytes.byteLength > skipped) yield bytes.subarray(skipped);
  }
}

function hashOf(kind: Digest["kind"], numBytes: number): Hash {
  if (kind === "sha256") return createHash("sha256");
  return createHash("sha1").update(`blob ${numBytes}\0`);
}

async function readInto(
  hash: Hash,
  path: string,
  signal?: AbortSignal,
  onBytes: (numBytes: number) => void = () => {},
): Promise<void> {
  for await (const part of createReadStream(path, { highWaterMark: 1 << 20, ...(signal && { signal }) })) {
    const bytes = part as Uint8Array;
    hash.update(bytes);
    onBytes(bytes.byteLength);
  }
}

async function writeAll(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.byteLength;) {
    const { bytesWritten } = await handle.write(bytes, done);
    done += bytesWritten;
  }
}

function tooLong({ repo, path, numBytes }: RemoteFile): UserError {
  return new UserError(`${repo}: the server sends more of ${path} than the ${numBytes} bytes it should have`);
}

function brokenOff(
  { repo, path, numBytes }: RemoteFile,
  length: number,
  error: unknown,
  url: string,
): UserError {
  return new UserError(
    `${repo}: ${path} broke off after ${length} of ${numBytes} bytes (${url}: ${reasonOf(error)}); ` +
      "run the command again to go on from there",
    { cause: error },
  );
}
