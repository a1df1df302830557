/** The format of `torch.save` since PyTorch 1.6: a zip file of `data.pkl` and one entry per storage. */
import { quote } from "../quote.ts";
import type { OpenFile } from "../tensor-file.ts";
import { unpickle, PICKLE_LIMITS } from "./pickle.ts";
import type { Fail } from "./pickle-values.ts";
import type { PyTorchFile } from "./pytorch-file.ts";
import { readZipDirectory, type ZipEntry } from "./zip-directory.ts";

const PICKLE = "data.pkl";

/** Entries beside the pickle, all below one folder: storages, and marks of versions. */
const KNOWN =
  /^(?:data\/[^/]+|version|byteorder|\.format_version|\.storage_alignment|\.data\/serialization_id)$/;

/** @throws by `fail` for everything that is not such a file */
export async function readZipFormat(file: OpenFile, fail: Fail): Promise<PyTorchFile> {
  const entries = await readZipDirectory(file, fail);
  const folder = findFolder(entries, fail);
  for (const name of entries.keys()) {
    const rest = name.startsWith(folder) ? name.slice(folder.length) : "";
    if (rest !== PICKLE && !KNOWN.test(rest)) {
      fail(
        `it has the zip entry ${quote(name)}, which is no part of saved tensors (compiled models are not read)`,
      );
    }
  }
  await checkByteOrder(file, entries.get(`${folder}byteorder`), fail);
  const pickle = entries.get(`${folder}${PICKLE}`)!;
  if (pickle.byteLength > PICKLE_LIMITS.bytes) {
    return fail(`its pickle has ${pickle.byteLength} bytes; at most ${PICKLE_LIMITS.bytes} are read`);
  }
  const bytes = await file.read(pickle.byteOffset, pickle.byteLength);
  const { value, end, storages } = unpickle(bytes, 0, fail);
  if (end !== bytes.byteLength) fail(`${bytes.byteLength - end} bytes follow its pickle`);
  const offsets = new Map<string, number>();
  for (const { key, byteLength } of storages.values()) {
    const entry = entries.get(`${folder}data/${key}`);
    if (entry === undefined) return fail(`it lacks the storage ${quote(key)}`);
    if (entry.byteLength !== byteLength) {
      return fail(`its storage ${quote(key)} has ${entry.byteLength} bytes, expected ${byteLength}`);
    }
    offsets.set(key, entry.byteOffset);
  }
  return { value, offsets };
}

/** The folder of the one pickle; it bears the file's first name. */
function findFolder(entries: ReadonlyMap<string, ZipEntry>, fail: Fail): string {
  const pickles = [...entries.keys()].filter((name) => /^[^/]+\/data\.pkl$/.test(name));
  if (pickles.length !== 1)
    return fail(`it is a zip file with ${pickles.length} entries …/${PICKLE}, expected one`);
  return pickles[0]!.slice(0, -PICKLE.length);
}

/** Files without a mark are from before there were any, and little-endian. */
async function checkByteOrder(file: OpenFile, entry: ZipEntry | undefined, fail: Fail): Promise<void> {
  if (entry === undefined) return;
  const text = entry.byteLength === 6 ? new TextDecoder().decode(await file.read(entry.byteOffset, 6)) : "";
  if (text !== "little") fail("its byte order is not little-endian");
}
