/**
 * The header of a safetensors file: [8 bytes little-endian header length][JSON header][tensor data].
 * Every byte of the data belongs to exactly one tensor; nothing in the header is believed unchecked.
 */
import { UserError } from "../tensor/errors.ts";
import { bytesPerElement, type DType } from "../tensor/tensor.ts";
import { quote } from "./quote.ts";
import { describeFault, parseStrictJson } from "./strict-json.ts";
import type { TensorDirectory, TensorEntry } from "./tensor-file.ts";

/** Longest header the format allows, in bytes. */
export const MAX_HEADER_BYTES = 100_000_000;

/** The format's name of each element type we hold. */
export const FORMAT_DTYPES: ReadonlyMap<DType, string> = new Map([
  ["float64", "F64"],
  ["float32", "F32"],
  ["float16", "F16"],
  ["bfloat16", "BF16"],
  ["int64", "I64"],
  ["int32", "I32"],
  ["int16", "I16"],
  ["uint16", "U16"],
  ["int8", "I8"],
  ["uint8", "U8"],
  ["bool", "BOOL"],
]);

const DTYPE_OF = new Map([...FORMAT_DTYPES].map(([dtype, name]) => [name, dtype]));

/** Types of the format that nothing here computes with. */
const UNSUPPORTED_DTYPE = /^(F8_\w+|F6_\w+|F4|U32|U64|C64)$/;

/**
 * Parses and checks a header.
 * @param file path of the file, for entries and messages
 * @param json the header's bytes
 * @param dataBytes length of everything behind the header
 * @throws UserError for every malformed header, naming the tensor at fault
 */
export function parseHeader(file: string, json: Uint8Array, dataBytes: number): TensorDirectory {
  const fail = (reason: string): never => {
    throw new UserError(`${file} is not a valid safetensors file: ${reason}`);
  };
  const root = parseRoot(json, fail);
  const dataStart = 8 + json.byteLength;
  const tensors = new Map<string, TensorEntry>();
  let metadata: ReadonlyMap<string, string> = new Map();
  for (const [name, value] of Object.entries(root)) {
    if (name === "__metadata__") metadata = parseMetadata(value, fail);
    else tensors.set(name, parseEntry(file, dataStart, name, value, fail));
  }
  checkCoverage(tensors, dataStart, dataBytes, fail);
  return { tensors, metadata };
}

type Fail = (reason: string) => never;

function parseRoot(json: Uint8Array, fail: Fail): Record<string, unknown> {
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(json);
    if (!text.startsWith("{")) return fail('its header does not begin with "{"');
    // root object > tensor entry > shape
    return parseStrictJson(text, 3) as Record<string, unknown>;
  } catch (cause) {
    if (cause instanceof UserError) throw cause;
    return fail(`its header cannot be read (${describeFault(cause)})`);
  }
}

function parseMetadata(value: unknown, fail: Fail): ReadonlyMap<string, string> {
  if (!isObject(value)) return fail("__metadata__ is not an object of strings");
  return new Map(
    Object.entries(value).map(([key, text]) =>
      typeof text === "string" ? [key, text] : fail(`__metadata__ entry ${quote(key)} is not a string`),
    ),
  );
}

function parseEntry(file: string, dataStart: number, name: string, value: unknown, fail: Fail): TensorEntry {
  const where = `tensor ${quote(name)}`;
  if (!isObject(value)) return fail(`${where} is not described by an object`);
  const unknownKey = Object.keys(value).find((key) => !["dtype", "shape", "data_offsets"].includes(key));
  if (unknownKey !== undefined) return fail(`${where} has an unknown field ${quote(unknownKey)}`);

  const dtypeName = value["dtype"];
  if (typeof dtypeName !== "string") return fail(`${where} has no dtype`);
  const dtype = DTYPE_OF.get(dtypeName);
  if (dtype === undefined) {
    if (!UNSUPPORTED_DTYPE.test(dtypeName)) return fail(`${where} has the unknown dtype ${quote(dtypeName)}`);
    throw new UserError(
      `${file}: ${where} has the element type ${dtypeName}, which is not supported; ` +
        `expected one of ${[...DTYPE_OF.keys()].join(", ")} (convert the checkpoint to BF16, for example)`,
    );
  }

  const shape = value["shape"];
  if (!isSizes(shape)) return fail(`${where} has a shape that is not a list of whole numbers of at least 0`);
  let byteLength = bytesPerElement(dtype);
  for (const dim of shape) {
    byteLength *= dim;
    if (!Number.isSafeInteger(byteLength))
      return fail(`${where} has an impossibly large shape [${shape.join(", ")}]`);
  }

  const offsets = value["data_offsets"];
  if (!isSizes(offsets) || offsets.length !== 2) {
    return fail(`${where} has data_offsets that are not two whole numbers of at least 0`);
  }
  const [begin, end] = offsets as [number, number];
  if (end < begin) return fail(`${where} ends (${end}) before it begins (${begin})`);
  if (end - begin !== byteLength) {
    return fail(
      `${where}, ${dtypeName} [${shape.join(", ")}], needs ${byteLength} bytes but spans ${end - begin}`,
    );
  }
  return { dtype, shape, file, byteOffset: dataStart + begin, byteLength };
}

/** The tensors, in file order, must cover the data from its first to its last byte. */
function checkCoverage(
  tensors: ReadonlyMap<string, TensorEntry>,
  dataStart: number,
  dataBytes: number,
  fail: Fail,
): void {
  const inFileOrder = [...tensors].sort(
    ([, a], [, b]) => a.byteOffset - b.byteOffset || a.byteLength - b.byteLength,
  );
  let covered = 0;
  for (const [name, { byteOffset, byteLength }] of inFileOrder) {
    const begin = byteOffset - dataStart;
    if (begin < covered) fail(`tensor ${quote(name)} overlaps the one before it (${begin} < ${covered})`);
    if (begin > covered)
      fail(`bytes ${covered} to ${begin} before tensor ${quote(name)} belong to no tensor`);
    covered = begin + byteLength;
  }
  if (covered > dataBytes) fail(`it is truncated: ${dataBytes} bytes of tensor data, expected ${covered}`);
  if (covered < dataBytes) fail(`${dataBytes - covered} bytes behind the last tensor belong to no tensor`);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((x) => Number.isSafeInteger(x) && x >= 0);
}
