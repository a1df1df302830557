/** A model on the Hub at one revision: its files, with what tells whether they came whole. */
import { listFiles, modelInfo } from "@huggingface/hub";
import { quote } from "../../../runtime/quote.ts";
import { UserError } from "../../../tensor/errors.ts";
import { type HubAccess, hubFetch } from "./access.ts";
import { explainHubFailure } from "./failure.ts";

/** A digest of a file: of its bytes where it is kept apart (large files), as git counts it otherwise. */
export interface Digest {
  readonly kind: "sha256" | "git";
  /** In hexadecimal: 64 digits, or 40. */
  readonly hex: string;
}

export interface RemoteFile {
  readonly repo: string;
  /** Inside the model: relative, forwards, with slashes. */
  readonly path: string;
  readonly numBytes: number;
  readonly digest: Digest;
}

export interface Snapshot {
  readonly repo: string;
  /** 40 hexadecimal digits. */
  readonly commit: string;
  readonly files: readonly RemoteFile[];
}

/** More files are no model. */
const MAX_FILES = 10_000;

/**
 * The newest revision of a model, and those of its files that match.
 * @param patterns paths; `*` stands for any characters of a name
 * @throws UserError when the Hub cannot be asked, answers nonsense, or has no file for a pattern
 */
export async function findFiles(
  access: HubAccess,
  repo: string,
  patterns: readonly string[],
  signal: AbortSignal,
): Promise<Snapshot> {
  const options = { hubUrl: access.url, fetch: hubFetch(access, signal) };
  const expressions = patterns.map(patternOf);
  const files: RemoteFile[] = [];
  let commit: string;
  try {
    const { sha } = await modelInfo({ name: repo, additionalFields: ["sha"], ...options });
    commit = checked(repo, "revision", sha, /^[0-9a-f]{40}$/);
    const repository = { type: "model", name: repo } as const;
    let count = 0;
    for await (const entry of listFiles({
      repo: repository,
      revision: commit,
      recursive: true,
      ...options,
    })) {
      if (++count > MAX_FILES)
        throw new UserError(`${repo} has more than ${MAX_FILES} files; it is no model`);
      if (entry.type !== "file" || !expressions.some((pattern) => pattern.test(entry.path))) continue;
      files.push(remoteFile(repo, entry));
    }
  } catch (error) {
    throw explainHubFailure(error, repo, access.url);
  }
  const missing = patterns.find((_, i) => !files.some(({ path }) => expressions[i]!.test(path)));
  if (missing !== undefined) {
    throw new UserError(`${repo} has no ${missing} in its revision ${commit}; it may have been rearranged`);
  }
  return { repo, commit, files };
}

type Entry = { path: string; size: number; oid?: string; lfs?: { oid: string; size: number } };

function remoteFile(repo: string, { path, size, oid, lfs }: Entry): RemoteFile {
  // What a server names may be written, and so must stay inside.
  if (!path.split("/").every((name) => /^[\w-][\w.-]*$/.test(name))) {
    throw new UserError(`${repo} names the file ${quote(path)}; expected a plain relative path`);
  }
  const numBytes = lfs?.size ?? size;
  if (!Number.isSafeInteger(numBytes) || numBytes < 0) {
    throw new UserError(`${repo}: ${path} is said to be ${numBytes} bytes long`);
  }
  const digest: Digest = lfs
    ? { kind: "sha256", hex: checked(repo, `digest of ${path}`, lfs.oid, /^[0-9a-f]{64}$/) }
    : { kind: "git", hex: checked(repo, `digest of ${path}`, oid, /^[0-9a-f]{40}$/) };
  return { repo, path, numBytes, digest };
}

function checked(repo: string, what: string, value: string | undefined, form: RegExp): string {
  if (typeof value === "string" && form.test(value)) return value;
  throw new UserError(`${repo}: the Hub gives ${quote(String(value))} as the ${what}`);
}

function patternOf(pattern: string): RegExp {
  return new RegExp(`^${pattern.replaceAll(".", String.raw`\.`).replaceAll("*", "[^/]*")}$`);
}
