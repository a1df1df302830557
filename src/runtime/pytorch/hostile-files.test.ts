/** Files made to do harm, or damaged: each is refused with one line, and nothing else happens. */
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { UserError } from "../../tensor/errors.ts";
import { float32 } from "../../tensor/tensor.ts";
import { OPCODES as OP } from "./pickle-opcodes.ts";
import { PICKLE_LIMITS } from "./pickle.ts";
import { openPyTorchFile } from "./pytorch-file.ts";
import {
  bytesOf,
  legacyStart,
  legacyStorages,
  pickled,
  pickledTensor,
  torchEntries,
  torchFile,
  torchZip,
  uint32,
  uint64,
  zipOf,
  type Part,
  type TensorWords,
  type ZipEntryWords,
} from "./testing.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "hostile-"));
});
afterAll(() => rm(folder, { recursive: true }));

/** Opens the bytes as a file; expects one line of refusal, a flat memory, and no file but this. */
async function refusal(bytes: Uint8Array): Promise<string> {
  const path = join(folder, "hostile.pth");
  await writeFile(path, bytes);
  const before = process.memoryUsage.rss();
  const error = await openPyTorchFile(path).then(
    () => null,
    (reason: unknown) => reason,
  );
  const growth = process.memoryUsage.rss() - before;
  expect(error).toBeInstanceOf(UserError);
  const { message } = error as UserError;
  expect(message).toMatch(/^[^\p{Cc}]+$/u);
  expect(message.length).toBeLessThan(600);
  expect(growth).toBeLessThan(256 * 2 ** 20);
  expect(await readdir(folder)).toEqual(["hostile.pth"]);
  return message;
}

type Case = [what: string, bytes: Uint8Array, message: RegExp];

const STORAGE = new Uint8Array(16);

/** A pickle in an otherwise honest file. */
const inZip = (...parts: readonly Part[]): Uint8Array => torchZip(pickled.whole(...parts), { 0: STORAGE });

const COMMAND = pickled.text("touch hostile");
const SYSTEM = pickled.global("os", "system");
const call = (module: string, name: string): Uint8Array =>
  inZip(pickled.call(pickled.global(module, name), COMMAND));

const codeExecution: Case[] = [
  ["os.system", call("os", "system"), /the Python object "os\.system"/],
  ["posix.system", call("posix", "system"), /"posix\.system"/],
  ["subprocess.Popen", call("subprocess", "Popen"), /"subprocess\.Popen"/],
  ["builtins.eval", call("builtins", "eval"), /"builtins\.eval"/],
  ["__builtin__.exec", call("__builtin__", "exec"), /"__builtin__\.exec"/],
  ["builtins.getattr", call("builtins", "getattr"), /"builtins\.getattr"/],
  ["pip.main", call("pip", "main"), /"pip\.main"/],
  ["runpy", call("runpy", "_run_code"), /"runpy\._run_code"/],
  ["a nested torch.load", call("torch", "load"), /"torch\.load"/],
  ["torch.hub.load", call("torch.hub", "load"), /"torch\.hub\.load"/],
  ["a module of an allowed name", call("collections.OrderedDict", "x"), /"collections\.OrderedDict\.x"/],
  ["a name with dots", call("torch", "_utils._rebuild_tensor_v2.__globals__"), /__globals__/],
  ["a name with control characters", call("os", "\u001b[2Jsystem"), /\\u001b\[2Jsystem/],
  ["an object that is only named", inZip(SYSTEM), /"os\.system"/],
  [
    "STACK_GLOBAL",
    inZip(pickled.text("os"), pickled.text("system"), OP.STACK_GLOBAL, pickled.tuple(COMMAND), OP.REDUCE),
    /"os\.system"/,
  ],
  ["STACK_GLOBAL without names", inZip(OP.NONE, OP.NONE, OP.STACK_GLOBAL), /without a name/],
  ["INST", inZip(OP.MARK, COMMAND, "ios\nsystem\n"), /the opcode INST/],
  ["OBJ", inZip(OP.MARK, pickled.global("torch", "Size"), COMMAND, 0x6f), /the opcode OBJ/],
  ["NEWOBJ", inZip(pickled.global("torch", "Size"), OP.EMPTY_TUPLE, 0x81), /the opcode NEWOBJ/],
  [
    "NEWOBJ_EX",
    inZip(pickled.global("torch", "Size"), OP.EMPTY_TUPLE, OP.EMPTY_DICT, 0x92),
    /the opcode NEWOBJ_EX/,
  ],
  ["REDUCE of a text", inZip(COMMAND, OP.EMPTY_TUPLE, OP.REDUCE), /calls what cannot be called/],
  ["REDUCE of a storage type", call("torch", "FloatStorage"), /calls what cannot be called/],
  ["REDUCE of a made value", inZip(pickled.orderedDict(), OP.EMPTY_TUPLE, OP.REDUCE), /cannot be called/],
  [
    "REDUCE without arguments",
    inZip(pickled.global("torch", "Size"), OP.NONE, OP.REDUCE),
    /without arguments/,
  ],
  ["BUILD of a class", inZip(pickled.global("torch", "Size"), OP.EMPTY_DICT, OP.BUILD), /sets the state of/],
  ["BUILD with a state of its own", inZip(OP.EMPTY_DICT, COMMAND, OP.BUILD), /sets the state of/],
  ["BUILD of a tensor", inZip(pickledTensor(), OP.EMPTY_DICT, OP.BUILD), /sets the state of/],
  ["EXT1", inZip(0x82, 1), /the opcode EXT1/],
  ["EXT2", inZip(0x83, 1, 1), /the opcode EXT2/],
  ["EXT4", inZip(0x84, uint32(1)), /the opcode EXT4/],
  ["PERSID", inZip("Pstorage\n"), /the opcode PERSID/],
  ["BINPERSID of a text", inZip(COMMAND, OP.BINPERSID), /something outside that is no storage/],
  [
    "BINPERSID of another kind",
    inZip(pickled.tuple(pickled.text("module"), SYSTEM), OP.BINPERSID),
    /"os\.system"/,
  ],
  ["bytes for another reader", inZip(0x43, 1, 0), /the opcode SHORT_BINBYTES/],
  ["out-of-band buffers", inZip(0x97), /the opcode NEXT_BUFFER/],
  ["the text opcodes of protocol 0", bytesOf("(dp0\nS'a'\n."), /neither a zip file nor a pickle/],
  ["an opcode that there is not", inZip(0xff), /unknown opcode 255/],
];

const times = (count: number, ...parts: readonly Part[]): Uint8Array => {
  const once = bytesOf(...parts);
  return Buffer.alloc(once.byteLength * count, once);
};

/** 2^depth values by name of the same two: each list holds the one before twice. */
function doubling(depth: number): Uint8Array {
  const level = (i: number): Uint8Array =>
    bytesOf(OP.EMPTY_LIST, OP.BINPUT, i + 1, OP.MARK, OP.BINGET, i, OP.BINGET, i, OP.APPENDS);
  return bytesOf(
    pickledTensor(),
    OP.BINPUT,
    0,
    ...Array.from({ length: depth }, (_, i) => level(i)),
    OP.TUPLE,
  );
}

const bombs: Case[] = [
  ["lists of lists without end", inZip(times(2_000, OP.MARK)), /stacks more than/],
  ["a stack without end", inZip(times(200_000, OP.NONE)), /stacks more than/],
  [
    "containers without end",
    inZip(OP.EMPTY_LIST, OP.BINPUT, 0, times(150_000, OP.EMPTY_DICT, OP.APPEND)),
    /more than 131072 containers/,
  ],
  ["operations without end", inZip(OP.NONE, times(600_000, OP.BINPUT, 0)), /more than 524288 operations/],
  ["a memo of doublings", inZip(OP.MARK, doubling(24)), /unfolds to more than 131072 values/],
  ["a deeper memo of doublings", inZip(OP.MARK, doubling(60)), /unfolds to|nest deeper/],
  ["a list in itself", inZip(OP.EMPTY_LIST, OP.BINPUT, 0, OP.BINGET, 0, OP.APPEND), /nest deeper than 32/],
  ["deep nesting", inZip(times(500, OP.EMPTY_LIST), times(499, OP.APPEND)), /nest deeper than 32/],
  ["a text of 4 GiB", inZip(OP.BINUNICODE, uint32(0xffffffff)), /a text of 4294967295 bytes/],
  ["a number of 2 GiB", inZip(OP.LONG4, uint32(0x7fffffff)), /a number of 2147483647 bytes/],
  ["a name without end", inZip(OP.GLOBAL, "a".repeat(1000)), /a name that does not end/],
  ["a memo that is not there", inZip(OP.BINGET, 7), /recalls 7/],
  ["a huge pickle", inZip(new Uint8Array(PICKLE_LIMITS.bytes)), /its pickle has 16777\d+ bytes; at most/],
  [
    "the same argument of many calls",
    inZip(
      pickled.global("torch", "Size"),
      OP.BINPUT,
      0,
      pickled.sizes([1]),
      OP.TUPLE1,
      OP.BINPUT,
      1,
      times(100_000, OP.BINGET, 0, OP.BINGET, 1, OP.REDUCE, OP.BINPUT, 2),
    ),
    /stacks more than|more than \d+ containers/,
  ],
];

const malformedPickles: Case[] = [
  ["an unknown protocol", torchZip(bytesOf(OP.PROTO, 9, OP.NONE, OP.STOP)), /unknown protocol 9/],
  ["nothing", torchZip(new Uint8Array()), /its pickle is truncated/],
  ["no end", torchZip(bytesOf(OP.PROTO, 2, OP.NONE)), /its pickle is truncated/],
  ["an end in the middle", inZip(OP.NONE, OP.NONE), /ends in the middle/],
  ["an open mark", inZip(OP.NONE, OP.MARK), /ends in the middle/],
  ["more than there is", inZip(OP.TUPLE2), /takes more than it has put/],
  ["values below a mark", inZip(OP.NONE, OP.MARK, OP.TUPLE1), /takes more than it has put/],
  ["a mark that is not there", inZip(OP.NONE, OP.TUPLE), /that it has not opened/],
  ["items of a text", inZip(COMMAND, OP.NONE, OP.NONE, OP.SETITEM), /sets items of what is no dictionary/],
  ["an item without a value", inZip(OP.EMPTY_DICT, OP.MARK, OP.NONE, OP.SETITEMS), /without a value/],
  ["appending to a tuple", inZip(OP.EMPTY_TUPLE, OP.NONE, OP.APPEND), /appends to what is no list/],
  ["keys that are tuples", inZip(OP.EMPTY_DICT, OP.EMPTY_TUPLE, OP.NONE, OP.SETITEM), /keys other than/],
  [
    "a key twice",
    inZip(
      pickled.dict([
        ["a", bytesOf(OP.NONE)],
        ["a", bytesOf(OP.NONE)],
      ]),
    ),
    /the key "a" twice/,
  ],
  ["text that is no UTF-8", inZip(OP.BINUNICODE, uint32(1), 0xff), /not UTF-8/],
  ["more behind its end", torchZip(bytesOf(pickled.whole(OP.NONE), 0)), /1 bytes follow its pickle/],
  [
    "two tensors of one name",
    inZip(
      pickled.dict([
        ["a.b", pickledTensor()],
        ["a", pickled.dict([["b", pickledTensor()]])],
      ]),
    ),
    /two tensors named "a\.b"/,
  ],
];

const tensorOf = (words: TensorWords): Uint8Array => inZip(pickled.dict([["w", pickledTensor(words)]]));
const UNTYPED = pickled.global("torch", "UntypedStorage");

const badTensors: Case[] = [
  ["a negative size", tensorOf({ shape: [-4] }), /without a proper size and stride/],
  ["a negative stride", tensorOf({ strides: [-1] }), /without a proper size and stride/],
  ["a negative offset", tensorOf({ offset: -4 }), /begins nowhere/],
  ["a size beyond 53 bits", tensorOf({ shape: [2n ** 62n], strides: [1] }), /without a proper size/],
  ["an oversize shape", tensorOf({ shape: [2 ** 31, 2 ** 31], strides: [0, 0] }), /impossibly large/],
  [
    "an oversize shape hidden by a zero",
    tensorOf({ shape: [2 ** 31, 2 ** 31, 0], strides: [1, 1, 1] }),
    /impossibly large/,
  ],
  ["more than its storage", tensorOf({ shape: [5] }), /reaches beyond its storage of 16 bytes/],
  ["an offset beyond its storage", tensorOf({ offset: 1 }), /reaches beyond/],
  ["a stride beyond its storage", tensorOf({ shape: [2], strides: [2 ** 40] }), /reaches beyond/],
  ["an empty tensor beyond its storage", tensorOf({ shape: [0], offset: 99 }), /reaches beyond/],
  [
    "one element a million times",
    tensorOf({ shape: [1e6], strides: [0] }),
    /several elements at the same place/,
  ],
  ["overlapping rows", tensorOf({ shape: [2, 3], strides: [1, 1] }), /several elements at the same place/],
  ["fewer strides than axes", tensorOf({ shape: [2, 2], strides: [1] }), /without a proper size/],
  ["65 axes", tensorOf({ shape: new Array<number>(65).fill(1) }), /without a proper size/],
  ["a storage that is not there", tensorOf({ key: "9" }), /lacks the storage "9"/],
  ["a storage by path", tensorOf({ key: "../data.pkl" }), /lacks the storage/],
  ["a storage that is shorter", tensorOf({ count: 5 }), /has 16 bytes, expected 20/],
  ["a negative storage", tensorOf({ count: -1 }), /impossible length/],
  ["a storage beyond 53 bits", tensorOf({ count: 2n ** 52n }), /impossible length/],
  ["a storage of no type", tensorOf({ storage: pickled.global("torch", "float32") }), /no storage/],
  [
    "complex numbers",
    tensorOf({ storage: pickled.global("torch", "ComplexFloatStorage") }),
    /ComplexFloatStorage/,
  ],
  ["bytes of no type", tensorOf({ storage: UNTYPED, count: 16 }), /from no storage/],
  [
    "a storage of two lengths",
    inZip(
      pickled.dict([
        ["a", pickledTensor()],
        ["b", pickledTensor({ count: 5 })],
      ]),
    ),
    /the storage "0" in two ways/,
  ],
  [
    "a parameter of no tensor",
    inZip(pickled.call(pickled.global("torch._utils", "_rebuild_parameter"), COMMAND)),
    /a parameter from no tensor/,
  ],
];

const HONEST = pickled.whole(pickled.dict([["w", pickledTensor()]]));
const entries = torchEntries(HONEST, { 0: STORAGE });
/** The honest file with another storage entry. */
const withStorage = (words: Partial<ZipEntryWords>, more: readonly ZipEntryWords[] = []): Uint8Array =>
  zipOf([
    ...entries.map((entry) => (entry.name.endsWith("data/0") ? { ...entry, ...words } : entry)),
    ...more,
  ]);
const file = (name: string, bytes: Uint8Array = STORAGE): ZipEntryWords => ({ name, data: bytes });
const numEntries = entries.length;

const zipTricks: Case[] = [
  ["a compressed storage", withStorage({ method: 8 }), /"archive\/data\/0" is compressed/],
  ["an encrypted entry", withStorage({ flags: 1 }), /is encrypted or patched/],
  ["two names of one entry", withStorage({ localName: "archive/data/1" }), /contradicts the directory/],
  ["a name twice", withStorage({}, [file("archive/data/0")]), /two zip entries named/],
  ["two pickles", withStorage({}, [file("other/data.pkl", HONEST)]), /2 entries …\/data.pkl/],
  ["no pickle", zipOf([file("archive/version")]), /0 entries …\/data.pkl/],
  ["no entries", zipOf([]), /0 entries …\/data.pkl/],
  [
    "code of a compiled model",
    withStorage({}, [file("archive/code/model.py")]),
    /compiled models are not read/,
  ],
  ["a file beside the folder", withStorage({}, [file("run.sh")]), /"run\.sh", which is no part/],
  ["a path upwards", withStorage({}, [file("archive/data/../../../etc/passwd")]), /the odd name/],
  ["an absolute path", withStorage({}, [file("/etc/passwd")]), /the odd name/],
  ["a path with backslashes", withStorage({}, [file("archive\\data\\1")]), /the odd name/],
  ["a name with a line break", withStorage({}, [file("archive/data/1\nok")]), /the odd name/],
  ["an empty name", withStorage({}, [file("")]), /the odd name/],
  [
    "entries at one place",
    withStorage({ headerOffset: 0, localName: "archive/data/0" }),
    /overlaps|contradicts/,
  ],
  ["an entry longer than the file", withStorage({ byteLength: 1 << 30 }), /overlaps|reaches into/],
  ["an entry over the next one", withStorage({ byteLength: 100 }), /overlaps the one before/],
  ["two lengths", withStorage({ storedLength: 8 }), /two lengths: 8 and 16/],
  ["a header that is not there", withStorage({ headerOffset: 1 }), /contradicts|overlaps/],
  ["a header behind the file", withStorage({ headerOffset: 0x7fffffff }), /contradicts the directory/],
  ["64-bit lengths that are not there", withStorage({ byteLength: 0xffffffff }), /has no length/],
  [
    "64-bit lengths beyond 53 bits",
    withStorage({
      byteLength: 0xffffffff,
      extra: bytesOf(1, 0, 16, 0, uint64(2n ** 60n), uint64(2n ** 60n)),
    }),
    /impossibly large number/,
  ],
  ["64-bit numbers without need", withStorage({ extra: bytesOf(1, 0, 8, 0, uint64(16)) }), /does not need/],
  ["a damaged extra field", withStorage({ extra: bytesOf(1, 0, 99, 0) }), /damaged extra field/],
  ["too few entries", zipOf(entries, { end: [1, 0, 0] }), /not where the end record says/],
  ["a wrong number of entries", zipOf(entries, { end: [numEntries, 1, 1] }), /not where the end record says/],
  ["two end records that differ", zipOf(entries, { end64: [1, 2, 3] }), /contradict each other/],
  [
    "a directory of exabytes",
    zipOf(entries, { end64: [2n ** 62n, 2n ** 62n, 2n ** 62n], end: [0xffff, 0xffffffff, 0xffffffff] }),
    /impossibly large number/,
  ],
  [
    "a large number of entries that are not there",
    zipOf(entries, { end64: [60_000, 0, 0], end: [60_000, 0, 0] }),
    /not where the end record says/,
  ],
  ["a second file behind the first", bytesOf(zipOf(entries), "MZ"), /something follows/],
  ["a file before the first", bytesOf("PK", zipOf(entries)), /not where the end record says/],
  ["only an end record", bytesOf("PK\x05\x06", new Uint8Array(18)), /0 entries …\/data.pkl/],
  ["no end record", bytesOf("PK\x03\x04", new Uint8Array(100)), /does not end with the directory/],
  [
    "big-endian numbers",
    zipOf([
      ...entries.filter(({ name }) => !name.endsWith("byteorder")),
      file("archive/byteorder", bytesOf("big")),
    ]),
    /byte order/,
  ],
];

const object = pickled.whole(pickled.dict([["w", pickledTensor()]]));
const honestStorages = legacyStorages({ 0: [4, STORAGE] });
const legacy: Case[] = [
  ["another magic number", bytesOf(pickled.whole(pickled.int(1)), object), /magic number/],
  ["code in its object", legacyStart(pickled.whole(pickled.call(SYSTEM, COMMAND))), /"os\.system"/],
  ["code in its magic number", pickled.whole(pickled.call(SYSTEM, COMMAND)), /"os\.system"/],
  ["code in its list of storages", bytesOf(legacyStart(object), pickled.whole(SYSTEM)), /"os\.system"/],
  [
    "storages that no tensor has",
    bytesOf(legacyStart(object), legacyStorages({ 0: [4, STORAGE], 1: [0, new Uint8Array()] })),
    /list of storages/,
  ],
  ["a list without its storage", bytesOf(legacyStart(object), legacyStorages({})), /list of storages/],
  [
    "another number of elements",
    bytesOf(legacyStart(object), legacyStorages({ 0: [5, STORAGE] })),
    /has 5 elements, expected 4/,
  ],
  [
    "2^64 - 1 elements",
    bytesOf(
      legacyStart(object),
      pickled.whole(OP.EMPTY_LIST, pickled.text("0"), OP.APPEND),
      uint64(2n ** 64n - 1n),
      STORAGE,
    ),
    /has 18446744073709551615 elements/,
  ],
  ["a cut storage", bytesOf(legacyStart(object), honestStorages).subarray(0, -1), /truncated in its storage/],
  ["more behind its storages", bytesOf(legacyStart(object), honestStorages, 0), /1 bytes follow/],
  ["only its beginning", bytesOf(0x80, 2, OP.NONE), /truncated|too short/],
  ["nothing in it", new Uint8Array(), /it is empty/],
];

describe.each([
  ["code execution", codeExecution],
  ["bombs", bombs],
  ["malformed pickles", malformedPickles],
  ["tensors that are not there", badTensors],
  ["zip tricks", zipTricks],
  ["the legacy format", legacy],
])("%s", (_, cases) => {
  it.each(cases)("refuses %s", async (_what, bytes, message) => {
    expect(await refusal(bytes)).toMatch(message);
  });
});

it.each(["zip", "legacy"] as const)("refuses the %s format cut anywhere", async (format) => {
  const whole = torchFile({ a: float32([1, 2, 3]), b: float32([4]) }, format);
  for (let length = 0; length < whole.byteLength; length += 41) await refusal(whole.subarray(0, length));
  await refusal(whole.subarray(0, -1));
});
