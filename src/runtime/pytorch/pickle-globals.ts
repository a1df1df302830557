/** The Python names that a file of tensors may use. There is no way to any other: nothing is looked up or called. */
import { bytesPerElement, type DType } from "../../tensor/tensor.ts";
import { quote } from "../quote.ts";
import {
  PickleGlobal,
  PickleTuple,
  StorageRef,
  TensorRef,
  type Fail,
  type PickleDict,
  type PickleValue,
} from "./pickle-values.ts";
import { viewOf } from "./tensor-view.ts";

/** Element types by PyTorch's name of their storages. */
const STORAGE_TYPES: Readonly<Record<string, DType>> = {
  DoubleStorage: "float64",
  FloatStorage: "float32",
  HalfStorage: "float16",
  BFloat16Storage: "bfloat16",
  LongStorage: "int64",
  IntStorage: "int32",
  ShortStorage: "int16",
  CharStorage: "int8",
  ByteStorage: "uint8",
  BoolStorage: "bool",
};

const ELEMENT_TYPES: readonly DType[] = [...Object.values(STORAGE_TYPES), "uint16"];

const ALL = [
  new PickleGlobal("collections.OrderedDict", makeOrderedDict),
  new PickleGlobal("torch.Size", makeSize),
  new PickleGlobal("torch.device", makeDevice),
  new PickleGlobal("torch._utils._rebuild_tensor", rebuildTensor),
  new PickleGlobal("torch._utils._rebuild_tensor_v2", rebuildTensor),
  new PickleGlobal("torch._utils._rebuild_tensor_v3", rebuildTypedTensor),
  new PickleGlobal("torch._utils._rebuild_parameter", rebuildParameter),
  ...Object.entries(STORAGE_TYPES).map(
    ([name, dtype]) => new PickleGlobal(`torch.${name}`, undefined, dtype),
  ),
  ...["torch.UntypedStorage", "torch.storage.UntypedStorage"].map(
    (name) => new PickleGlobal(name, undefined, "bytes"),
  ),
  ...ELEMENT_TYPES.map((dtype) => new PickleGlobal(`torch.${dtype}`, undefined, dtype)),
];

const BY_NAME = new Map(ALL.map((global) => [global.name, global]));

/** @throws by `fail` for every name that is not one of the few above */
export function findGlobal(module: string, name: string, fail: Fail): PickleGlobal {
  return (
    BY_NAME.get(`${module}.${name}`) ??
    fail(`it asks for the Python object ${quote(`${module}.${name}`)}, which is not a part of plain tensors`)
  );
}

/** The storage that a persistent id `("storage", type, key, location, number of elements)` names. */
export function findStorage(id: PickleValue, fail: Fail): StorageRef {
  if (!(id instanceof PickleTuple)) return fail("it refers to something outside that is no storage");
  const [kind, type, key, location, count, view = null] = id.items;
  const isStorage =
    kind === "storage" &&
    type instanceof PickleGlobal &&
    type.call === undefined &&
    type.name.endsWith("Storage") &&
    typeof key === "string" &&
    typeof location === "string" &&
    id.items.length <= 6;
  if (!isStorage) return fail("it refers to something outside that is no storage");
  if (view !== null) return fail(`its storage ${quote(key)} is a view of another one`);
  const elements = type.elements!;
  const byteLength = (elements === "bytes" ? 1 : bytesPerElement(elements)) * sizeFrom(count);
  if (!Number.isSafeInteger(byteLength)) return fail(`its storage ${quote(key)} has an impossible length`);
  return new StorageRef(key, elements, byteLength);
}

/** NaN for anything but a whole number of at least 0. */
function sizeFrom(value: PickleValue | undefined): number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value : NaN;
}

function makeOrderedDict(args: readonly PickleValue[], fail: Fail): PickleDict {
  return args.length === 0 ? new Map() : fail("it makes an OrderedDict from something");
}

/** Sets an item of a dictionary, whose keys are strings and numbers and occur once. */
export function putItem(dict: PickleDict, key: PickleValue, value: PickleValue, fail: Fail): void {
  if (typeof key !== "string" && typeof key !== "number") {
    return fail("it holds a dictionary with keys other than strings and numbers");
  }
  if (dict.has(key)) return fail(`it holds a dictionary with the key ${quote(String(key))} twice`);
  dict.set(key, value);
}

function makeSize(args: readonly PickleValue[], fail: Fail): PickleTuple {
  const [sizes] = args;
  if (args.length !== 1 || !(sizes instanceof PickleTuple)) return fail("it makes a torch.Size of no tuple");
  return sizes;
}

/** `device("cuda")` or `device("cuda", 0)`. */
function makeDevice(args: readonly PickleValue[], fail: Fail): string {
  const [type, index = 0] = args;
  const isDevice = typeof type === "string" && typeof index === "number" && args.length <= 2;
  return isDevice ? `${type}:${index}` : fail("it makes a device of no name");
}

/** `_rebuild_tensor(_v2)(storage, offset, size, stride, …)`: gradients, hooks and metadata do not matter here. */
function rebuildTensor(args: readonly PickleValue[], fail: Fail): TensorRef {
  const [storage] = args;
  if (!(storage instanceof StorageRef) || storage.elements === "bytes" || args.length > 7) {
    return fail("it rebuilds a tensor from no storage");
  }
  return viewOf(storage, storage.elements, args.slice(1, 4), fail);
}

/** `_rebuild_tensor_v3(storage, offset, size, stride, requires_grad, hooks, dtype, metadata)` of an untyped storage. */
function rebuildTypedTensor(args: readonly PickleValue[], fail: Fail): TensorRef {
  const [storage] = args;
  const type = args[6];
  const dtype = type instanceof PickleGlobal && ELEMENT_TYPES.find((name) => type.name === `torch.${name}`);
  if (!(storage instanceof StorageRef) || !dtype || args.length > 8) {
    return fail("it rebuilds a tensor from no storage and element type");
  }
  return viewOf(storage, dtype, args.slice(1, 4), fail);
}

function rebuildParameter(args: readonly PickleValue[], fail: Fail): TensorRef {
  const [tensor] = args;
  if (!(tensor instanceof TensorRef) || args.length > 3)
    return fail("it rebuilds a parameter from no tensor");
  return tensor;
}
