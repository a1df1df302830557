/** Reads safetensors files. */
import { UserError } from "../tensor/errors.ts";
import { MAX_HEADER_BYTES, parseHeader } from "./safetensors-header.ts";
import { openTensorFile, type Checkpoint, type OpenFile, type TensorDirectory } from "./tensor-file.ts";

export type { Checkpoint, TensorEntry } from "./tensor-file.ts";

/**
 * Opens one safetensors file and checks its whole header.
 * @throws UserError when it is missing, empty, truncated or malformed in any way
 */
export function openSafetensors(path: string): Promise<Checkpoint> {
  return openTensorFile(path, readHeader);
}

async function readHeader(file: OpenFile): Promise<TensorDirectory> {
  const { path, byteLength: fileBytes } = file;
  if (fileBytes < 8) {
    throw new UserError(
      `${path} is not a valid safetensors file: it is ${fileBytes === 0 ? "empty" : `only ${fileBytes} bytes long`}`,
    );
  }
  const headerBytes = new DataView((await file.read(0, 8)).buffer).getBigUint64(0, true);
  if (headerBytes > MAX_HEADER_BYTES) {
    throw new UserError(
      `${path} is not a valid safetensors file: it announces a header of ${headerBytes} bytes; ` +
        `at most ${MAX_HEADER_BYTES} are allowed`,
    );
  }
  const dataBytes = fileBytes - 8 - Number(headerBytes);
  if (dataBytes < 0) {
    throw new UserError(
      `${path} is not a valid safetensors file: it is truncated inside its header ` +
        `(${fileBytes} bytes, the header alone needs ${8n + headerBytes})`,
    );
  }
  return parseHeader(path, await file.read(8, Number(headerBytes)), dataBytes);
}
