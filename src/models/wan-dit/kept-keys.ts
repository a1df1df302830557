// How keys and values are kept between the anchor's graph and those of base segments. T tokens, S kept rows, D width.
import {
  type Graph,
  type Value,
  abs,
  cast,
  div,
  expand,
  max,
  maximum,
  mul,
  reshape,
} from "../../graph/index.ts";
import { type Tensor, tensor } from "../../tensor/tensor.ts";
import { type Keys } from "./shared-attention.ts";

/**
 * What keys and values are kept in. In int8 each channel of the keys has a scale, since some are large in every
 * token, and each token of the values.
 */
export type KeyDType = "float32" | "float16" | "int8";

/** The tensors that keys and values are kept as; the scales with int8 alone. */
export const KEPT_TENSORS = ["k", "v", "kScale", "vScale"] as const;

export type KeptTensor = (typeof KEPT_TENSORS)[number];

/** Largest magnitude of an int8 value: both signs reach equally far. */
const LEVELS = 127;
/** Keeps channels of zeros from being divided by 0. */
const SMALLEST_STEP = 1e-30;

/** Keys and values [1, T, D] as they are kept: `kScale` is [1, 1, D], `vScale` [1, T, 1]. */
export function keepKeys({ k, v }: Keys, keyDType: KeyDType): ReadonlyMap<KeptTensor, Value> {
  if (keyDType !== "int8") {
    return new Map([
      ["k", cast(k, keyDType)],
      ["v", cast(v, keyDType)],
    ]);
  }
  const keys = inSteps(k, 2);
  const values = inSteps(v, 1);
  return new Map([
    ["k", keys.values],
    ["v", values.values],
    ["kScale", keys.scale],
    ["vScale", values.scale],
  ]);
}

/**
 * Kept keys and values as inputs of a graph, S <= T rows of them.
 * @param nameOf name of the input
 * @param rowsName name of the axis of S, whose size is known at run time
 */
export function readKeys(
  graph: Graph,
  [numTokens, dim]: readonly [numTokens: number, dim: number],
  keyDType: KeyDType,
  nameOf: (tensor: KeptTensor) => string,
  rowsName: string,
): Keys {
  const freeAxes = { 1: rowsName };
  const kept = (name: "k" | "v"): Value => {
    const value = graph.input(nameOf(name), [1, numTokens, dim], { dtype: keyDType, freeAxes });
    return cast(value, graph.dtype);
  };
  const [k, v] = [kept("k"), kept("v")];
  if (keyDType !== "int8") return { k, v };
  const kScale = graph.input(nameOf("kScale"), [1, 1, dim]);
  const vScale = graph.input(nameOf("vScale"), [1, numTokens, 1], { freeAxes });
  return { k: mul(k, kScale), v: mul(v, vScale) };
}

/** int8 values [1, T, D] with a scale for each index of an axis. */
function inSteps(x: Value, axis: 1 | 2): { values: Value; scale: Value } {
  const size = x.dim(axis);
  const largest = max(abs(x), [axis === 1 ? 2 : 1]);
  const scale = maximum(div(largest, LEVELS), SMALLEST_STEP);
  const zero = x.graph.constant(tensor("int8", [1], new Int8Array(1)) as Tensor);
  const inputs = [x, reshape(scale, [size]), expand(zero, [size])];
  const type = { shape: x.shape, dtype: "int8" as const };
  const [values] = x.graph.emit("QuantizeLinear", inputs, [type], { attributes: { axis } });
  return { values: values!, scale };
}
