/** Opens a model's weights wherever they lie: one file, or a directory of shards with an index. */
import { readdir, readFile, realpath, stat } from "node:fs/promises";
import { basename, dirname, isAbsolute, join, relative, sep } from "node:path";
import { z } from "zod";
import { UserError } from "../tensor/errors.ts";
import { MAX_HEADER_BYTES } from "./safetensors-header.ts";
import { openSafetensors, type Checkpoint, type TensorEntry } from "./safetensors.ts";
import { parseStrictJson } from "./strict-json.ts";

const INDEX_SUFFIX = ".safetensors.index.json";

const indexSchema = z.object({ weight_map: z.record(z.string(), z.string()) });

/**
 * Opens a safetensors file, or a directory with either one `*.safetensors.index.json` and its shards, or exactly
 * one `*.safetensors` file. Shards must lie inside the directory, after following links.
 * @throws UserError when nothing fits, an index is malformed, or a tensor it names is missing
 */
export async function openCheckpoint(path: string): Promise<Checkpoint> {
  const found = await stat(path).catch((cause: Error) => {
    throw new UserError(`cannot open ${path}: ${cause.message}`, { cause });
  });
  if (!found.isDirectory()) return openSafetensors(path);

  const names = (await readdir(path)).sort();
  const indexes = names.filter((name) => name.endsWith(INDEX_SUFFIX));
  const files = names.filter((name) => name.endsWith(".safetensors"));
  if (indexes.length === 1) return openShards(path, indexes[0]!);
  if (indexes.length === 0 && files.length === 1) return openSafetensors(join(path, files[0]!));
  throw new UserError(
    `${path} holds ${indexes.length} index files (*${INDEX_SUFFIX}) and ${files.length} *.safetensors files; ` +
      `expected one index, or one file and no index (name the file itself)`,
  );
}

async function openShards(directory: string, indexName: string): Promise<Checkpoint> {
  const indexPath = join(directory, indexName);
  const weightMap = await readIndex(indexPath);
  const shards = new Map<string, Checkpoint>();
  const shardOf = new Map<string, Checkpoint>();
  const tensors = new Map<string, TensorEntry>();
  const metadata = new Map<string, string>();
  for (const [name, shardName] of weightMap) {
    let shard = shards.get(shardName);
    if (shard === undefined) {
      shard = await openSafetensors(await shardPath(directory, indexPath, shardName));
      shards.set(shardName, shard);
      for (const [key, value] of shard.metadata) metadata.set(key, value);
    }
    const entry = shard.tensors.get(name);
    if (entry === undefined)
      throw new UserError(`${indexPath} places "${name}" in ${shardName}, which lacks it`);
    shardOf.set(name, shard);
    tensors.set(name, entry);
  }
  const holderOf = (name: string): Checkpoint => {
    const shard = shardOf.get(name);
    if (shard === undefined) throw new UserError(`${indexPath} lists no tensor "${name}"`);
    return shard;
  };
  return {
    path: directory,
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
    const reason = cause instanceof z.ZodError ? z.prettifyError(cause) : (cause as Error).message;
    throw new UserError(`${indexPath} is not a valid shard index: ${reason}`, { cause });
  }
}

/** The shard's real path. The index is not trusted: neither its names nor links may lead out of the directory. */
async function shardPath(directory: string, indexPath: string, shardName: string): Promise<string> {
  const outside = new UserError(
    `${indexPath} names the shard "${shardName}", which lies outside its directory; expected a file beside the index`,
  );
  if (isAbsolute(shardName) || shardName.split(/[/\\]/).includes("..")) throw outside;
  const path = await realpath(join(directory, shardName)).catch((cause: Error) => {
    throw new UserError(
      `${indexPath} names the shard "${shardName}", which cannot be opened: ${cause.message}`,
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
 * `<model>/snapshots/<revision>/` holds nothing but links into `<model>/blobs/`.
 */
async function linkRoot(directory: string): Promise<string> {
  const root = await realpath(directory);
  return basename(dirname(root)) === "snapshots" ? dirname(dirname(root)) : root;
}
