/** For tests: writes pickles, zip files and PyTorch files, well-formed ones and others. */
import { bytesPerElement, type DType, type Tensor, sizeOf, stridesOf } from "../../tensor/tensor.ts";
import { OPCODES as OP } from "./pickle-opcodes.ts";

export type Part = number | string | Uint8Array;

/** Joins bytes: numbers are single bytes, texts are UTF-8. */
export function bytesOf(...parts: readonly Part[]): Uint8Array {
  return Buffer.concat(parts.map((part) => (typeof part === "number" ? Buffer.of(part) : Buffer.from(part))));
}

export function uint16(value: number): Uint8Array {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16LE(value);
  return bytes;
}

export function uint32(value: number): Uint8Array {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

export function uint64(value: number | bigint): Uint8Array {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

/** One opcode or several, as bytes. */
export const pickled = {
  text: (text: string) => bytesOf(OP.BINUNICODE, uint32(Buffer.byteLength(text)), text),
  global: (module: string, name: string) => bytesOf(OP.GLOBAL, `${module}\n${name}\n`),
  int: (value: number | bigint) => bytesOf(OP.LONG1, 8, uint64(BigInt.asUintN(64, BigInt(value)))),
  tuple: (...items: readonly Uint8Array[]) => bytesOf(OP.MARK, ...items, OP.TUPLE),
  sizes: (sizes: readonly (number | bigint)[]) => pickled.tuple(...sizes.map((size) => pickled.int(size))),
  call: (callee: Uint8Array, ...args: readonly Uint8Array[]) =>
    bytesOf(callee, pickled.tuple(...args), OP.REDUCE),
  dict: (items: Iterable<readonly [string, Uint8Array]>) =>
    bytesOf(
      OP.EMPTY_DICT,
      OP.MARK,
      ...[...items].flatMap(([key, value]) => [pickled.text(key), value]),
      OP.SETITEMS,
    ),
  orderedDict: () => bytesOf(pickled.global("collections", "OrderedDict"), OP.EMPTY_TUPLE, OP.REDUCE),
  /** A whole pickle. */
  whole: (...parts: readonly Part[]) => bytesOf(OP.PROTO, 2, ...parts, OP.STOP),
} as const;

const STORAGES: Readonly<Partial<Record<DType, string>>> = {
  float64: "DoubleStorage",
  float32: "FloatStorage",
  float16: "HalfStorage",
  bfloat16: "BFloat16Storage",
  int64: "LongStorage",
  int32: "IntStorage",
  int16: "ShortStorage",
  int8: "CharStorage",
  uint8: "ByteStorage",
  bool: "BoolStorage",
};

/** A tensor of a pickle, every part of which may be a lie. */
export interface TensorWords {
  readonly key?: string;
  readonly storage?: Uint8Array;
  /** Elements of the storage. */
  readonly count?: number | bigint;
  readonly offset?: number | bigint;
  readonly shape?: readonly (number | bigint)[];
  readonly strides?: readonly (number | bigint)[];
}

/** By default four float32 numbers. */
export function pickledTensor({
  key = "0",
  storage = pickled.global("torch", "FloatStorage"),
  count = 4,
  offset = 0,
  shape = [4],
  strides = stridesOf(shape.map(Number)),
}: TensorWords = {}): Uint8Array {
  const words = ["storage", key, "cpu"].map((word) => pickled.text(word)) as [
    Uint8Array,
    Uint8Array,
    Uint8Array,
  ];
  const id = pickled.tuple(words[0], storage, words[1], words[2], pickled.int(count));
  return pickled.call(
    pickled.global("torch._utils", "_rebuild_tensor_v2"),
    bytesOf(id, OP.BINPERSID),
    pickled.int(offset),
    pickled.sizes(shape),
    pickled.sizes(strides),
    bytesOf(OP.NEWFALSE),
    pickled.orderedDict(),
  );
}

export interface ZipEntryWords {
  readonly name: string;
  readonly data: Uint8Array;
  /** What header and directory say; all of it may be a lie. */
  readonly localName?: string;
  readonly method?: number;
  readonly flags?: number;
  readonly byteLength?: number;
  readonly storedLength?: number;
  readonly headerOffset?: number;
  readonly extra?: Uint8Array;
}

export interface ZipWords {
  /** Adds the records with 64-bit numbers; what they say of entries, length and place of the directory. */
  readonly end64?: readonly [number | bigint, number | bigint, number | bigint] | "true";
  /** What the end record says of entries, length and place of the directory. */
  readonly end?: readonly [number, number, number];
}

/** A zip file as PyTorch writes it: stored entries aligned to 64 bytes. */
export function zipOf(entries: readonly ZipEntryWords[], words: ZipWords = {}): Uint8Array {
  const parts: Uint8Array[] = [];
  const directory: Uint8Array[] = [];
  let position = 0;
  for (const entry of entries) {
    const { name, data, localName = name, method = 0, flags = 1 << 11, extra = new Uint8Array() } = entry;
    const byteLength = entry.byteLength ?? data.byteLength;
    const common = bytesOf(uint16(0), uint16(flags), uint16(method), uint32(0), uint32(0));
    const lengths = bytesOf(uint32(entry.storedLength ?? byteLength), uint32(byteLength));
    const headerEnd = position + 30 + Buffer.byteLength(localName) + 4;
    const padding = new Uint8Array((64 - (headerEnd % 64)) % 64);
    const local = bytesOf(
      "PK\x03\x04",
      common,
      lengths,
      uint16(Buffer.byteLength(localName)),
      uint16(4 + padding.length),
      localName,
      "FB",
      uint16(padding.length),
      padding,
    );
    const nameLengths = bytesOf(uint16(Buffer.byteLength(name)), uint16(extra.length), uint16(0));
    directory.push(
      bytesOf("PK\x01\x02", uint16(0), common, lengths, nameLengths, uint16(0), uint16(0), uint32(0)),
      bytesOf(uint32(entry.headerOffset ?? position), name, extra),
    );
    parts.push(local, data);
    position += local.byteLength + data.byteLength;
  }
  const listing = bytesOf(...directory);
  const end = words.end ?? ([entries.length, listing.byteLength, position] as const);
  const endRecord = bytesOf(
    "PK\x05\x06",
    uint32(0),
    uint16(end[0]),
    uint16(end[0]),
    uint32(end[1]),
    uint32(end[2]),
  );
  const long =
    words.end64 === "true" ? ([entries.length, listing.byteLength, position] as const) : words.end64;
  const long64 = long
    ? bytesOf(
        "PK\x06\x06",
        uint64(44),
        uint16(45),
        uint16(45),
        uint32(0),
        uint32(0),
        uint64(long[0]),
        uint64(long[0]),
        uint64(long[1]),
        uint64(long[2]),
        "PK\x06\x07",
        uint32(0),
        uint64(position + listing.byteLength),
        uint32(1),
      )
    : "";
  return bytesOf(...parts, listing, long64, endRecord, uint16(0));
}

/** The zip format around a pickle and its storages. */
export function torchZip(
  pickle: Uint8Array,
  storages: Readonly<Record<string, Uint8Array>> = {},
  words: ZipWords = { end64: "true" },
): Uint8Array {
  return zipOf(torchEntries(pickle, storages), words);
}

/** The entries of such a file. */
export function torchEntries(
  pickle: Uint8Array,
  storages: Readonly<Record<string, Uint8Array>> = {},
): ZipEntryWords[] {
  return [
    { name: "archive/data.pkl", data: pickle },
    { name: "archive/byteorder", data: bytesOf("little") },
    ...Object.entries(storages).map(([key, data]) => ({ name: `archive/data/${key}`, data })),
    { name: "archive/version", data: bytesOf("3\n") },
  ];
}

/** The four pickles before the object of the legacy format, and the object. */
export function legacyStart(object: Uint8Array): Uint8Array {
  const magic = bytesOf(OP.LONG1, 10, Buffer.from("6cfc9c46f9206aa85019", "hex"));
  const system = pickled.dict([["little_endian", bytesOf(OP.NEWTRUE)]]);
  return bytesOf(pickled.whole(magic), pickled.whole(pickled.int(1001)), pickled.whole(system), object);
}

/** What follows the object: the storages' keys, and each storage with the number of its elements. */
export function legacyStorages(
  storages: Readonly<Record<string, readonly [count: number, data: Uint8Array]>>,
): Uint8Array {
  const keys = Object.keys(storages).map((key) => pickled.text(key));
  return bytesOf(
    pickled.whole(OP.EMPTY_LIST, OP.MARK, ...keys, OP.APPENDS),
    ...Object.values(storages).flatMap(([count, data]) => [uint64(count), data]),
  );
}

/** A state dictionary as `torch.save` writes it. */
export function torchFile(
  tensors: Readonly<Record<string, Tensor>>,
  format: "zip" | "legacy" = "zip",
  /** Wraps the dictionary, e.g. in a dictionary of its own. */
  wrap: (stateDict: Uint8Array) => Uint8Array = (stateDict) => stateDict,
): Uint8Array {
  const entries = Object.entries(tensors);
  const items = entries.map(([name, { dtype, shape }], i): [string, Uint8Array] => {
    const storage = pickled.global("torch", STORAGES[dtype]!);
    return [name, pickledTensor({ key: String(i), storage, count: sizeOf(shape), shape })];
  });
  const object = pickled.whole(wrap(pickled.dict(items)));
  const bytes = entries.map(([, { data }]) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  if (format === "zip") {
    return torchZip(object, Object.fromEntries(bytes.map((data, i) => [String(i), data])));
  }
  const storages = entries.map(([, { dtype }], i) => {
    const data = bytes[i]!;
    return [String(i), [data.byteLength / bytesPerElement(dtype), data] as const] as const;
  });
  return bytesOf(legacyStart(object), legacyStorages(Object.fromEntries(storages)));
}
