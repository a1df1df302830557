/**
 * Where the entries of a zip file lie. Only what PyTorch writes is taken: stored entries, one after another, and
 * nothing behind the directory. General zip libraries forgive what this must not: two end records that contradict
 * each other, headers that differ from the directory, entries that overlap.
 */
import { quote } from "../quote.ts";
import type { OpenFile } from "../tensor-file.ts";
import type { Fail } from "./pickle-values.ts";

export interface ZipEntry {
  readonly byteOffset: number;
  readonly byteLength: number;
}

const SIGNATURES = {
  localHeader: 0x04034b50,
  directoryHeader: 0x02014b50,
  end: 0x06054b50,
  end64: 0x06064b50,
  locator64: 0x07064b50,
} as const;

/** Lengths of the records without their texts. */
const BYTES = { localHeader: 30, directoryHeader: 46, end: 22, end64: 56, locator64: 20 } as const;

/** A checkpoint has an entry per tensor; the largest have some thousands. */
const LIMITS = { entries: 1 << 16, directoryBytes: 1 << 24, nameBytes: 512 } as const;

/** Sizes of a local header are zero and follow the data. */
const SIZES_FOLLOW = 1 << 3;
const NAME_IS_UTF8 = 1 << 11;

const FULL_16 = 0xffff;
const FULL_32 = 0xffffffff;

/** An entry of the directory. */
interface DirectoryEntry extends ZipEntry {
  readonly name: string;
  readonly flags: number;
  readonly nameBytes: Uint8Array;
  readonly headerOffset: number;
}

/** @throws by `fail` for every deviation from the format */
export async function readZipDirectory(file: OpenFile, fail: Fail): Promise<Map<string, ZipEntry>> {
  const { numEntries, offset, byteLength } = await readEnd(file, fail);
  if (numEntries > LIMITS.entries)
    return fail(`it has ${numEntries} zip entries; at most ${LIMITS.entries} are read`);
  if (byteLength > LIMITS.directoryBytes) return fail(`its zip directory has ${byteLength} bytes`);
  const listed = parseDirectory(await file.read(offset, byteLength), numEntries, fail);
  const entries = new Map<string, ZipEntry>();
  let free = 0;
  for (const entry of listed.sort((a, b) => a.headerOffset - b.headerOffset)) {
    if (entries.has(entry.name)) fail(`it has two zip entries named ${quote(entry.name)}`);
    if (entry.headerOffset < free) fail(`its zip entry ${quote(entry.name)} overlaps the one before it`);
    const byteOffset = await locateData(file, entry, fail);
    free = byteOffset + entry.byteLength;
    if (free > offset) fail(`its zip entry ${quote(entry.name)} reaches into the directory`);
    entries.set(entry.name, { byteOffset, byteLength: entry.byteLength });
  }
  return entries;
}

interface Directory {
  readonly numEntries: number;
  readonly offset: number;
  readonly byteLength: number;
}

/** The directory lies before the end records, which end the file. */
async function readEnd(file: OpenFile, fail: Fail): Promise<Directory> {
  const { byteLength: fileBytes } = file;
  if (fileBytes < BYTES.end) return fail(`it is only ${fileBytes} bytes long`);
  const tailBytes = Math.min(fileBytes, BYTES.end64 + BYTES.locator64 + BYTES.end);
  const tail = viewOf(await file.read(fileBytes - tailBytes, tailBytes));
  const end = tailBytes - BYTES.end;
  if (tail.getUint32(end, true) !== SIGNATURES.end || tail.getUint16(end + 20, true) !== 0) {
    return fail("it does not end with the directory of a zip file: truncated, or something follows");
  }
  const numHere = tail.getUint16(end + 8, true);
  const short = {
    numEntries: tail.getUint16(end + 10, true),
    byteLength: tail.getUint32(end + 12, true),
    offset: tail.getUint32(end + 16, true),
  };
  const locator = end - BYTES.locator64;
  const is64 = locator >= 0 && tail.getUint32(locator, true) === SIGNATURES.locator64;
  const diskNumbers = tail.getUint32(end + 4, true);
  if (diskNumbers !== 0 || numHere !== short.numEntries) return fail("its zip directory spans several files");
  const directory = is64 ? readEnd64(tail, locator, fileBytes - tailBytes, fail) : short;
  const agrees =
    (short.numEntries === directory.numEntries || (is64 && short.numEntries === FULL_16)) &&
    (short.byteLength === directory.byteLength || (is64 && short.byteLength === FULL_32)) &&
    (short.offset === directory.offset || (is64 && short.offset === FULL_32));
  if (!agrees) return fail("its two zip end records contradict each other");
  const directoryEnd = fileBytes - (is64 ? BYTES.end64 + BYTES.locator64 : 0) - BYTES.end;
  if (directory.offset + directory.byteLength !== directoryEnd) {
    return fail("its zip directory is not where the end record says");
  }
  return directory;
}

/** The record with 64-bit numbers, which lies right before its locator. */
function readEnd64(tail: DataView, locator: number, tailOffset: number, fail: Fail): Directory {
  const at = locator - BYTES.end64;
  const isThere =
    at >= 0 &&
    tail.getUint32(at, true) === SIGNATURES.end64 &&
    tail.getBigUint64(at + 4, true) === BigInt(BYTES.end64 - 12) &&
    tail.getBigUint64(locator + 8, true) === BigInt(tailOffset + at);
  if (!isThere) return fail("its zip64 end record is not where its locator says");
  const isWhole =
    tail.getUint32(locator + 4, true) === 0 &&
    tail.getUint32(locator + 16, true) === 1 &&
    tail.getBigUint64(at + 16, true) === 0n &&
    tail.getBigUint64(at + 24, true) === tail.getBigUint64(at + 32, true);
  if (!isWhole) return fail("its zip directory spans several files");
  return {
    numEntries: uint64(tail, at + 32, fail),
    byteLength: uint64(tail, at + 40, fail),
    offset: uint64(tail, at + 48, fail),
  };
}

function parseDirectory(bytes: Uint8Array, numEntries: number, fail: Fail): DirectoryEntry[] {
  const entries: DirectoryEntry[] = [];
  let position = 0;
  while (position < bytes.byteLength) {
    const record = viewOf(bytes.subarray(position));
    if (
      record.byteLength < BYTES.directoryHeader ||
      record.getUint32(0, true) !== SIGNATURES.directoryHeader
    ) {
      return fail("its zip directory is damaged");
    }
    const [nameLength, extraLength, commentLength] = [28, 30, 32].map((at) => record.getUint16(at, true)) as [
      number,
      number,
      number,
    ];
    const length = BYTES.directoryHeader + nameLength + extraLength;
    if (length > record.byteLength || commentLength > 0) return fail("its zip directory is damaged");
    const nameEnd = position + BYTES.directoryHeader + nameLength;
    const nameBytes = bytes.subarray(nameEnd - nameLength, nameEnd);
    entries.push(parseEntry(record, nameBytes, viewOf(bytes.subarray(nameEnd, position + length)), fail));
    position += length;
  }
  if (entries.length !== numEntries)
    fail(`its zip directory has ${entries.length} entries, not ${numEntries}`);
  return entries;
}

function parseEntry(record: DataView, nameBytes: Uint8Array, extra: DataView, fail: Fail): DirectoryEntry {
  const name = parseName(nameBytes, fail);
  const flags = record.getUint16(8, true);
  if ((flags & ~(SIZES_FOLLOW | NAME_IS_UTF8)) !== 0)
    fail(`its zip entry ${quote(name)} is encrypted or patched`);
  if (record.getUint16(10, true) !== 0) fail(`its zip entry ${quote(name)} is compressed`);
  if (record.getUint16(34, true) !== 0) fail(`its zip entry ${quote(name)} lies in another file`);
  const [stored, byteLength, headerOffset] = numbersOf(record, extra, name, fail);
  if (stored !== byteLength)
    fail(`its zip entry ${quote(name)} has two lengths: ${stored} and ${byteLength}`);
  return { name, nameBytes, flags, byteOffset: 0, byteLength, headerOffset };
}

/** Length as stored, length, and place of the local header: in the extra field where 32 bits are too few. */
function numbersOf(record: DataView, extra: DataView, name: string, fail: Fail): [number, number, number] {
  const long = zip64Field(extra, name, fail);
  let next = 0;
  const numberAt = (position: number): number => {
    const short = record.getUint32(position, true);
    if (short !== FULL_32) return short;
    if (long === null || next + 8 > long.byteLength)
      return fail(`its zip entry ${quote(name)} has no length`);
    next += 8;
    return uint64(long, next - 8, fail);
  };
  const uncompressed = numberAt(24);
  const compressed = numberAt(20);
  const headerOffset = numberAt(42);
  if (long !== null && next !== long.byteLength) {
    fail(`its zip entry ${quote(name)} has 64-bit numbers that it does not need`);
  }
  return [compressed, uncompressed, headerOffset];
}

/** The content of the extra field with 64-bit numbers, or null. */
function zip64Field(extra: DataView, name: string, fail: Fail): DataView | null {
  let found: DataView | null = null;
  for (let at = 0; at < extra.byteLength;) {
    const length = at + 4 <= extra.byteLength ? extra.getUint16(at + 2, true) : Infinity;
    if (at + 4 + length > extra.byteLength)
      return fail(`its zip entry ${quote(name)} has a damaged extra field`);
    if (extra.getUint16(at, true) === 1) {
      if (found) return fail(`its zip entry ${quote(name)} has 64-bit numbers twice`);
      found = new DataView(extra.buffer, extra.byteOffset + at + 4, length);
    }
    at += 4 + length;
  }
  return found;
}

const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Names are never used as paths; odd ones are refused because PyTorch writes none. */
function parseName(bytes: Uint8Array, fail: Fail): string {
  let name = "";
  try {
    name = UTF8.decode(bytes);
  } catch {
    return fail("it has a zip entry whose name is not UTF-8");
  }
  const isOdd =
    name.startsWith("/") || /[\\\p{Cc}]/u.test(name) || name.split("/").some((part) => part === "..");
  if (name === "" || isOdd || bytes.byteLength > LIMITS.nameBytes) {
    return fail(`it has a zip entry with the odd name ${quote(name)}`);
  }
  return name;
}

/** Checks the header before an entry's data against the directory, and returns where the data begins. */
async function locateData(file: OpenFile, entry: DirectoryEntry, fail: Fail): Promise<number> {
  const { name, nameBytes, flags, byteLength, headerOffset } = entry;
  const contradicts = (): never =>
    fail(`the header of its zip entry ${quote(name)} contradicts the directory`);
  const length = BYTES.localHeader + nameBytes.byteLength;
  if (headerOffset + length > file.byteLength) return contradicts();
  const bytes = await file.read(headerOffset, length);
  const header = viewOf(bytes);
  const agrees =
    header.getUint32(0, true) === SIGNATURES.localHeader &&
    header.getUint16(6, true) === flags &&
    header.getUint16(8, true) === 0 &&
    header.getUint16(26, true) === nameBytes.byteLength &&
    Buffer.compare(bytes.subarray(BYTES.localHeader), nameBytes) === 0 &&
    [18, 22].every((at) => {
      const size = header.getUint32(at, true);
      return size === byteLength || (size === 0 && (flags & SIZES_FOLLOW) !== 0) || size === FULL_32;
    });
  if (!agrees) return contradicts();
  return headerOffset + length + header.getUint16(28, true);
}

function uint64(view: DataView, at: number, fail: Fail): number {
  const value = Number(view.getBigUint64(at, true));
  return Number.isSafeInteger(value) ? value : fail("its zip directory has an impossibly large number");
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
