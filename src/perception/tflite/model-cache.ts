import { createHash } from "node:crypto";
import { mkdir, readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { serialize } from "../../graph/index.ts";
import { writeFileAtomically } from "../../files/atomic-file.ts";
import { CONVERTER_VERSION, convertTflite } from "./convert.ts";
import { type ModelName, PACKAGED_MODELS, packageVersion, readPackagedModel } from "./packaged-models.ts";

const DIGEST_BYTES = 32;

/** `$XDG_CACHE_HOME/posegen`, or `~/.cache/posegen`. */
export function defaultCacheFolder(): string {
  return join(process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "posegen");
}

/**
 * The ONNX form of a packaged model, converted at first use and kept in `folder`: the model, then its SHA-256. A
 * file that does not match its digest is rebuilt. A folder that cannot be written costs a conversion every time.
 */
export async function loadConvertedModel(
  name: ModelName,
  folder: string = defaultCacheFolder(),
): Promise<Uint8Array> {
  const path = join(folder, `${name}-${await cacheKey(name)}.model`);
  const cached = await readVerified(path);
  if (cached) return cached;
  const { outputs } = PACKAGED_MODELS[name];
  const model = serialize(convertTflite(await readPackagedModel(name), { name, outputs }));
  await store(path, folder, model);
  return model;
}

/** Changes whenever the same name would give another graph. */
async function cacheKey(name: ModelName): Promise<string> {
  const facts = [await packageVersion(), CONVERTER_VERSION, PACKAGED_MODELS[name]];
  return createHash("sha256").update(JSON.stringify(facts)).digest("hex").slice(0, 16);
}

async function readVerified(path: string): Promise<Uint8Array | null> {
  const file = await readFile(path).catch(() => null);
  if (!file || file.length <= DIGEST_BYTES) return null;
  const model = file.subarray(0, -DIGEST_BYTES);
  return digest(model).equals(file.subarray(-DIGEST_BYTES)) ? model : null;
}

async function store(path: string, folder: string, model: Uint8Array): Promise<void> {
  try {
    await mkdir(folder, { recursive: true });
    await writeFileAtomically(path, async (handle) => {
      await handle.writeFile(model);
      await handle.writeFile(digest(model));
    });
  } catch {
    // The model is at hand; a full or read-only disk only means converting it again next time.
  }
}

function digest(bytes: Uint8Array): Buffer {
  return createHash("sha256").update(bytes).digest();
}
