/**
 * The format of `torch.save` before PyTorch 1.6: five pickles (magic number, protocol, system, object, keys of the
 * storages), then each storage as its number of elements and its bytes.
 */
import { bytesPerElement } from "../../tensor/tensor.ts";
import { quote } from "../quote.ts";
import type { OpenFile } from "../tensor-file.ts";
import { PICKLE_LIMITS, unpickle, type Unpickled } from "./pickle.ts";
import type { Fail, PickleValue, StorageRef } from "./pickle-values.ts";
import type { PyTorchFile } from "./pytorch-file.ts";

const MAGIC_NUMBER = 0x1950a86a20f9469cfc6cn;
const PROTOCOL_VERSION = 1001;

/** @throws by `fail` for everything that is not such a file */
export async function readLegacyFormat(file: OpenFile, fail: Fail): Promise<PyTorchFile> {
  const bytes = await file.read(0, Math.min(file.byteLength, PICKLE_LIMITS.bytes));
  let position = 0;
  const next = (): Unpickled => {
    const result = unpickle(bytes, position, fail);
    position = result.end;
    return result;
  };
  if (next().value !== MAGIC_NUMBER) return fail("it does not begin with PyTorch's magic number");
  const { value: version } = next();
  if (version !== PROTOCOL_VERSION) return fail(`it is of another version than ${PROTOCOL_VERSION}`);
  const { value: system } = next();
  if (!(system instanceof Map) || system.get("little_endian") !== true) {
    return fail("its byte order is not little-endian");
  }
  const { value, storages } = next();
  const keys = next().value;
  const order = storagesInOrder(keys, storages, fail);
  return { value, offsets: await locate(file, position, order, fail) };
}

/** The storages in the order of the file: each that the tensors need, once, and no other. */
function storagesInOrder(
  keys: PickleValue,
  storages: ReadonlyMap<string, StorageRef>,
  fail: Fail,
): readonly StorageRef[] {
  if (!Array.isArray(keys) || keys.length !== storages.size || new Set(keys).size !== keys.length) {
    return fail("its list of storages is not that of its tensors");
  }
  return keys.map(
    (key) =>
      (typeof key === "string" && storages.get(key)) ||
      fail("its list of storages is not that of its tensors"),
  );
}

async function locate(
  file: OpenFile,
  start: number,
  storages: readonly StorageRef[],
  fail: Fail,
): Promise<Map<string, number>> {
  const offsets = new Map<string, number>();
  let position = start;
  for (const { key, elements, byteLength } of storages) {
    if (position + 8 + byteLength > file.byteLength)
      return fail(`it is truncated in its storage ${quote(key)}`);
    const count = new DataView((await file.read(position, 8)).buffer).getBigUint64(0, true);
    const size = elements === "bytes" ? 1 : bytesPerElement(elements);
    if (count * BigInt(size) !== BigInt(byteLength)) {
      return fail(`its storage ${quote(key)} has ${count} elements, expected ${byteLength / size}`);
    }
    offsets.set(key, position + 8);
    position += 8 + byteLength;
  }
  if (position !== file.byteLength) fail(`${file.byteLength - position} bytes follow its last storage`);
  return offsets;
}
