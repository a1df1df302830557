/** Opens a model's weights wherever they lie: one file, or a directory of shards with an index. */
import { readdir, readFile, realpath, stat } from "node:fs/promises";
import { basename, dirname, isAbsolute, join, relative, sep } from "node:path";
import { z } from "zod";
import { UserError } from "../tensor/errors.ts";
import { MAX_HEADER_BYTES } from "./safetensors-header.ts";
import { openPyTorchFile } from "./pytorch/pytorch-file.ts";
import { oneLine, quote } from "./quote.ts";
import { openSafetensors } from "./safetensors.ts";
import type { Checkpoint, TensorEntry } from "./tensor-file.ts";
import { describeFault, parseStrictJson } from "./strict-json.ts";

/** Files that hold tensors, by the end of their name: what goes before, and in a directory of both is taken. */
const KINDS = [
  { words: "*.safetensors", file: /\.safetensors$/i, index: /\.safetensors\.index\.json$/i },
  { words: "*.bin, *.pth, *.pt or *.ckpt", file: /\.(?:bin|pth|pt|ckpt)$/i, index: /\.bin\.index\.json$/i },
] as const;

/** Shards without an index, such as `model-00002-of-00007.bin`. */
const SHARD = /^(.*-)(\d{5})-of-(\d{5})(\.\w+)$/;

/** Stops at the first fault: a list of a million faults would take more memory than the file. */
const indexSchema = z.object({
  weight_map: z.custom<Record<string, string>>(
    (value) => isObject(value) && Object.values(value).every((shard) => typeof shard === "string"),
    { error: "expected names of tensors, each with the name of its file" },
  ),
});

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Whether a file's name is one of a checkpoint: a file of tensors, or the index of such files. */
export function isCheckpointName(name: string): boolean {
  return KINDS.some(({ file, index }) => file.test(name) || index.test(name));
}

/**
 * Opens a safetensors file, a PyTorch file (`.pth`, `.pt`, `.bin`, `.ckpt`), an index of shards of either kind, or a
 * directory with exactly one of these or with all shards of one checkpoint. Safetensors go before PyTorch files where
 * a directory has both. Shards must lie inside the directory, after following links.
 * @throws UserError when nothing fits, an index is malformed, or a tensor it names is missing
 */
export async function openCheckpoint(path: string): Promise<Checkpoint> {
  const found = await stat(path).catch((cause: Error) => {
    throw new UserError(`cannot open ${path}: ${cause.message}`, { cause });
  });
  if (!found.isDirectory()) {
    const isIndex = KINDS.some(({ index }) => index.test(path));
    return isIndex ? openIndex(dirname(path), basename(path)) : openTensors(path);
  }
  const names = (await readdir(path)).sort();
  for (const { file, index } of KINDS) {
    const indexes = names.filter((name) => index.test(name));
    const files = names.filter((name) => file.test(name));
    if (indexes.length === 1) return openIndex(path, indexes[0]!);
    if (indexes.length > 1) {
      throw new UserError(`${path} holds the indexes ${indexes.join(", ")}; name the one to open`);
    }
    if (files.length === 1) return openTensors(join(path, files[0]!));
    if (files.length > 1) return openUnlistedShards(path, files);
  }
  throw new UserError(
    `${path} holds no file of tensors (${KINDS.map(({ words }) => words).join("; ")}) and no index of such files`,
  );
}

/** @param name tells the kind of file; links may lead to files of other names */
function openTensors(path: string, name = path): Promise<Checkpoint> {
  return KINDS[1].file.test(name) ? openPyTorchFile(path) : openSafetensors(path);
}

/** All shards of one checkpoint that came without an index. */
async function openUnlistedShards(directory: string, names: readonly string[]): Promise<Checkpoint> {
  const [, stem, , total, extension] = SHARD.exec(names[0]!) ?? [];
  const expected = Array.from(
    { length: Math.min(Number(total ?? 0), MAX_SHARDS) },
    (_, i) => `${stem}${String(i + 1).padStart(5, "0")}-of-${total}${extension}`,
  );
  if (expected.join() !== names.join()) {
    const missing = expected.find((name) => !names.includes(name));
    throw new UserError(
      missing === undefined || names.some((name) => !expected.includes(name))
        ? `${directory} holds ${names.length} files of tensors, not all of one checkpoint; name the file to open`
        : `${directory} lacks ${missing}, one of ${expected.length} shards`,
    );
  }
  const shards = await Promise.all(names.map((name) => openTensors(join(directory, name))));
  const shardOf = new Map<string, Checkpoint>();
  for (const shard of shards) {
    for (const name of shard.tensors.keys()) {
      if (shardOf.has(name)) {
        throw new UserError(
          `${shard.path} and ${shardOf.get(name)!.path} both hold the tensor ${quote(name)}`,
        );
      }
      shardOf.set(name, shard);
    }
  }
  return joinShards(directory, directory, shardOf);
}

const MAX_SHARDS = 1024;

async function openIndex(directory: string, indexName: string): Promise<Checkpoint> {
  const indexPath = join(directory, indexName);
  const weightMap = await readIndex(indexPath);
  const shards = new Map<string, Checkpoint>();
  const shardOf = new Map<string, Checkpoint>();
  for (const [name, shardName] of weightMap) {
    let shard = shards.get(shardName);
    if (shard === undefined) {
      shard = await openTensors(await shardPath(directory, indexPath, shardName), shardName);
      shards.set(shardName, shard);
    }
    if (!shard.tensors.has(name)) {
      throw new UserError(`${indexPath} places ${quote(name)} in ${quote(shardName)}, which lacks it`);
    }
    shardOf.set(name, shard);
  }
  return joinShards(directory, indexPath, shardOf);
}

/** Shards as one checkpoint. @param list what says which tensors there are, for messages */
function joinShards(path: string, list: string, shardOf: ReadonlyMap<string, Checkpoint>): Checkpoint {
  const tensors = new Map<string, TensorEntry>();
  for (const [name, shard] of shardOf) tensors.set(name, shard.tensors.get(name)!);
  const metadata = new Map([...new Set(shardOf.values())].flatMap((shard) => [...shard.metadata]));
  const holderOf = (name: string): Checkpoint => {
    const shard = shardOf.get(name);
    if (shard === undefined) throw new UserError(`${list} lists no tensor ${quote(name)}`);
    return shard;
  };
  return {
    path,
    tensors,
    metadata,
    readTensor: async (name) => holderOf(name).readTensor(name),
    readFloat32: async (name) => holderOf(name).readFloat32(name),
  };
}

async function readIndex(indexPath: string): Promise<[name: string, shard: string][]> {
  const { size } = await stat(indexPath);
  if (size > MAX_HEADER_BYTES) {
    throw new UserError(`${indexPath} is ${size} bytes long; expected at most ${MAX_HEADER_BYTES}`);
  }
  try {
    const index = indexSchema.parse(parseStrictJson(await readFile(indexPath, "utf8"), 8));
    return Object.entries(index.weight_map);
  } catch (cause) {
    throw new UserError(`${indexPath} is not a valid shard index: ${describeFault(cause)}`, { cause });
  }
}

/** The shard's real path. The index is not trusted: neither its names nor links may lead out of the directory. */
async function shardPath(directory: string, indexPath: string, shardName: string): Promise<string> {
  const outside = new UserError(
    `${indexPath} names the shard ${quote(shardName)}, which lies outside its directory; expected a file beside the index`,
  );
  if (isAbsolute(shardName) || shardName.split(/[/\\]/).includes("..")) throw outside;
  const path = await realpath(join(directory, shardName)).catch((cause: Error) => {
    throw new UserError(
      `${indexPath} names the shard ${quote(shardName)}, which cannot be opened: ${oneLine(cause.message)}`,
      {
        cause,
      },
    );
  });
  const inside = relative(await linkRoot(directory), path);
  if (inside === ".." || inside.startsWith(`..${sep}`) || isAbsolute(inside)) throw outside;
  return path;
}

/**
 * Links may point anywhere below this. It is the directory itself, except in a Hugging Face cache, where
 * `<model>/snapshots/<revision>/` and the folders in it hold nothing but links into `<model>/blobs/`.
 */
async function linkRoot(directory: string): Promise<string> {
  const root = await realpath(directory);
  for (let at = root, depth = 0; depth < MAX_SNAPSHOT_DEPTH; at = dirname(at), depth++) {
    if (basename(dirname(at)) === "snapshots") return dirname(dirname(at));
  }
  return root;
}

/** Folders of a published model lie one or two below its revision. */
const MAX_SNAPSHOT_DEPTH = 3;
