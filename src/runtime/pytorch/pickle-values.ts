/** What a pickle may hold: plain values, containers, and the parts of tensors. */
import type { DType } from "../../tensor/tensor.ts";

export type PickleValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | PickleValue[]
  | PickleDict
  | PickleTuple
  | PickleGlobal
  | StorageRef
  | TensorRef;

export type PickleDict = Map<string | number, PickleValue>;

export class PickleTuple {
  constructor(readonly items: readonly PickleValue[]) {}
}

/** A Python object that a pickle may name; see `pickle-globals.ts` for all of them. */
export class PickleGlobal {
  constructor(
    /** With its module, e.g. `collections.OrderedDict`. */
    readonly name: string,
    /** What calling it makes; absent for names that only stand for themselves. */
    readonly call?: (args: readonly PickleValue[], fail: Fail) => PickleValue,
    /** For the name of an element type or of a storage type: that type; `bytes` for an untyped storage. */
    readonly elements?: DType | "bytes",
  ) {}
}

/** Bytes that lie outside the pickle. */
export class StorageRef {
  constructor(
    readonly key: string,
    readonly elements: DType | "bytes",
    readonly byteLength: number,
  ) {}
}

/** A tensor: a view of a storage, checked to lie within it and to have each element at a place of its own. */
export class TensorRef {
  constructor(
    readonly storage: StorageRef,
    readonly dtype: DType,
    readonly shape: readonly number[],
    /** Position of the first element in the storage. */
    readonly byteOffset: number,
    /** In elements; null where they lie densely in row-major order. */
    readonly strides: readonly number[] | null,
  ) {}
}

/** Refuses a file for a reason, which completes "it …" or names the part at fault. */
export type Fail = (reason: string) => never;
