import type { Random } from "../src/tensor/random.ts";

/** Numbers at which readers go wrong. */
const EDGES = [0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff];

/** Damages a copy of some bytes in one to four ways. */
export function mutate(bytes: Uint8Array, random: Random): Uint8Array {
  let result: Uint8Array = Uint8Array.from(bytes);
  const count = 1 + random.integer(4);
  for (let i = 0; i < count && result.byteLength > 0; i++) {
    result = MUTATIONS[random.integer(MUTATIONS.length)]!(result, random);
  }
  return result;
}

type Mutation = (bytes: Uint8Array, random: Random) => Uint8Array;

const MUTATIONS: readonly Mutation[] = [
  function flipBit(bytes, random) {
    bytes[random.integer(bytes.byteLength)]! ^= 1 << random.integer(8);
    return bytes;
  },
  function setByte(bytes, random) {
    bytes[random.integer(bytes.byteLength)] = random.integer(256);
    return bytes;
  },
  function setNumber(bytes, random) {
    const width = [1, 2, 4, 8][random.integer(4)]!;
    const edge = EDGES[random.integer(EDGES.length)]!;
    const at = random.integer(bytes.byteLength);
    for (let i = 0; i < width && at + i < bytes.byteLength; i++) {
      bytes[at + i] = i < 4 ? (edge >>> (8 * i)) & 0xff : edge === 0xffffffff ? 0xff : 0;
    }
    return bytes;
  },
  function cutOut(bytes, random) {
    const [from, to] = range(bytes, random);
    return Buffer.concat([bytes.subarray(0, from), bytes.subarray(to)]);
  },
  function truncate(bytes, random) {
    return bytes.subarray(0, random.integer(bytes.byteLength));
  },
  function repeat(bytes, random) {
    const [from, to] = range(bytes, random);
    const times = Array.from({ length: 1 + random.integer(3) }, () => bytes.subarray(from, to));
    return Buffer.concat([bytes.subarray(0, to), ...times, bytes.subarray(to)]);
  },
  function move(bytes, random) {
    const [from, to] = range(bytes, random);
    const at = random.integer(bytes.byteLength);
    bytes.copyWithin(at, from, to);
    return bytes;
  },
  function insert(bytes, random) {
    const at = random.integer(bytes.byteLength);
    const inserted = Uint8Array.from({ length: 1 + random.integer(8) }, () => random.integer(256));
    return Buffer.concat([bytes.subarray(0, at), inserted, bytes.subarray(at)]);
  },
];

/** A short part of the bytes. */
function range(bytes: Uint8Array, random: Random): [from: number, to: number] {
  const from = random.integer(bytes.byteLength);
  return [from, Math.min(bytes.byteLength, from + 1 + random.integer(64))];
}
