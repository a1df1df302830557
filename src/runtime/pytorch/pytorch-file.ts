/** Reads files of `torch.save` (`.pth`, `.pt`, `.bin`, `.ckpt`) that hold tensors and plain containers only. */
import { UserError } from "../../tensor/errors.ts";
import { bytesPerElement, sizeOf } from "../../tensor/tensor.ts";
import {
  openTensorFile,
  type Checkpoint,
  type OpenFile,
  type TensorDirectory,
  type TensorEntry,
} from "../tensor-file.ts";
import { readLegacyFormat } from "./legacy-format.ts";
import type { Fail, PickleValue } from "./pickle-values.ts";
import { tensorsIn } from "./state-dict.ts";
import { readZipFormat } from "./zip-format.ts";

/** What both formats come to. */
export interface PyTorchFile {
  /** The saved object. */
  readonly value: PickleValue;
  /** Where each storage begins in the file, by key. */
  readonly offsets: ReadonlyMap<string, number>;
}

/**
 * Opens such a file. Tensors are named by the way to them (see `tensorsIn`). Nothing of the file is executed, and
 * storages stay in the file until a tensor is read.
 * @throws UserError of one line when it is missing, malformed, or holds anything but tensors and plain containers
 */
export function openPyTorchFile(path: string): Promise<Checkpoint> {
  return openTensorFile(path, readDirectory);
}

async function readDirectory(file: OpenFile): Promise<TensorDirectory> {
  const { path } = file;
  const fail: Fail = (reason) => {
    throw new UserError(`${path} cannot be read as a PyTorch file of plain tensors: ${reason}`);
  };
  const { value, offsets } = await readFormat(file, fail);
  const tensors = new Map<string, TensorEntry>();
  for (const [name, { storage, dtype, shape, byteOffset, strides }] of tensorsIn(value, fail)) {
    tensors.set(name, {
      dtype,
      shape,
      file: path,
      byteOffset: offsets.get(storage.key)! + byteOffset,
      byteLength: sizeOf(shape) * bytesPerElement(dtype),
      ...(strides && { strides }),
    });
  }
  return { tensors, metadata: new Map() };
}

async function readFormat(file: OpenFile, fail: Fail): Promise<PyTorchFile> {
  if (file.byteLength < 4) return fail(file.byteLength === 0 ? "it is empty" : "it is too short");
  const [first, second] = await file.read(0, 2);
  if (first === 0x50 && second === 0x4b) return readZipFormat(file, fail);
  if (first === 0x80) return readLegacyFormat(file, fail);
  return fail("it is neither a zip file nor a pickle");
}
