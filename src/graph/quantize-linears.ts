/** Linear layers in 8 bits: weights quantised once, activations whenever a run computes them. */
import { invariant } from "../tensor/errors.ts";
import { type Tensor } from "../tensor/tensor.ts";
import { mul } from "./elementwise.ts";
import { type Graph, type Node, type Value } from "./graph.ts";
import { max, mean, min } from "./reduce.ts";

/** Linear layers of one module that read the same activations, such as the q, k and v of a self-attention. */
export interface LinearGroup {
  /** The key that the layers' weights have in common with their smoothing: that of the first layer, without "weight". */
  readonly name: string;
  /** Keys of the weights [out, in], in the order of the graph. */
  readonly weights: readonly string[];
  /** The activations, [rows, in]. */
  readonly input: Value;
}

/** Keys of what `quantizeLinears` puts in the place of the weight [out, in] of a layer. */
export interface QuantizedKeys {
  /** int8 [in, out] */
  readonly values: string;
  /** float32 [out]: a column's values times its scale are the weights. */
  readonly scale: string;
}

export function quantizedKeys(weight: string): QuantizedKeys {
  return { values: `${weight}_int8`, scale: `${weight}_scale` };
}

/** Key of the factors [in] by which the activations of a group are multiplied before they are rounded. */
export function smoothingKey(group: string): string {
  return `${group}smoothing`;
}

/**
 * Finds linear layers and what they read.
 * @param targets keys of the weights [out, in] to look for; those that the graph lacks, or uses otherwise, are passed over
 */
export function linearGroups(graph: Graph, targets: RegExp): LinearGroup[] {
  const groups = new Map<string, { name: string; weights: string[]; input: Value }>();
  for (const node of graph.nodes) {
    const weight = weightOf(graph, node);
    if (!weight || !targets.test(weight)) continue;
    // Layers of different modules may read one value, e.g. the text: each module has its own smoothing.
    const id = `${rootOf(node.inputs[0]!).name} ${weight.replace(/\.[^.]+\.weight$/, "")}`;
    const known = groups.get(id);
    if (known) known.weights.push(weight);
    else groups.set(id, { name: weight.replace(/weight$/, ""), weights: [weight], input: node.inputs[0]! });
  }
  return [...groups.values()];
}

/** What `observeLinears` says of a group: outputs with one number for each channel of its input. */
export const OBSERVED = ["min", "max", "meanSquare"] as const;

/** Name of an output of `observeLinears`. */
export function observedName(group: string, what: (typeof OBSERVED)[number]): string {
  return `${group}${what}`;
}

/** Makes the range and the mean square of each channel that a group reads outputs [in] of the graph. */
export function observeLinears(graph: Graph, groups: readonly LinearGroup[]): void {
  for (const { name, input } of groups) {
    const flat = { keepDims: false };
    graph.output(observedName(name, "min"), min(input, [0], flat));
    graph.output(observedName(name, "max"), max(input, [0], flat));
    graph.output(observedName(name, "meanSquare"), mean(mul(input, input), [0], flat));
  }
}

/**
 * Computes linear layers in 8 bits: x Wᵀ + b becomes ((x · smoothing) in uint8) × (W / smoothing in int8) + b. The range
 * of the activations is found in each run (one for all rows); the int8 weight has a scale for each column. Weights
 * are parameters under other keys then, see `quantizedKeys`. Nothing can be differentiated through the result.
 * @param groups of this graph, as `linearGroups` gives them
 */
export function quantizeLinears(graph: Graph, groups: readonly LinearGroup[]): void {
  const groupOf = new Map(groups.flatMap((group) => group.weights.map((key) => [key, group] as const)));
  const quantized = new Map<LinearGroup, readonly Value[]>();
  for (const node of graph.nodes.splice(0)) {
    const key = weightOf(graph, node);
    const group = key === null ? undefined : groupOf.get(key);
    if (!group) {
      graph.nodes.push(node);
      continue;
    }
    const activations = quantized.get(group) ?? quantizeActivations(graph, group);
    quantized.set(group, activations);
    emitProduct(graph, node, activations);
  }
  for (const key of groupOf.keys()) graph.params.delete(key);
}

/**
 * Makes parameters constants of the graph: the engine packs constant int8 weights once, and multiplies with them much
 * faster than with those that are fed (0.4 against 0.65 of the time in float32 at a width of 1536).
 */
export function embedParams(graph: Graph, tensors: ReadonlyMap<string, Tensor>): void {
  for (const key of graph.params.keys()) {
    const tensor = tensors.get(key);
    if (!tensor) continue;
    graph.params.delete(key);
    graph.constants.set(key, tensor);
  }
}

/** The key of the weight that a node is a linear layer of; null for other nodes. */
function weightOf(graph: Graph, { op, inputs, attributes }: Node): string | null {
  const weight = inputs[1];
  if (op !== "Gemm" || !weight || graph.params.get(weight.name) !== weight) return null;
  return attributes["transB"] === 1 && attributes["transA"] === 0 ? weight.name : null;
}

/** The value that a chain of Reshapes begins with: `linear` reshapes its input anew for each layer. */
function rootOf(value: Value): Value {
  const { producer } = value;
  return producer?.op === "Reshape" ? rootOf(producer.inputs[0]!) : value;
}

/** @returns values uint8 [rows, in], scale and zero point */
function quantizeActivations(graph: Graph, { name, input }: LinearGroup): readonly Value[] {
  const smooth = mul(input, graph.param(smoothingKey(name), [input.dim(1)], "float32"));
  return graph.emit(
    "DynamicQuantizeLinear",
    [smooth],
    [
      { shape: input.shape, dtype: "uint8" },
      { shape: [], dtype: "float32" },
      { shape: [], dtype: "uint8" },
    ],
  );
}

function emitProduct(graph: Graph, node: Node, [values, scale, zeroPoint]: readonly Value[]): void {
  const [, weight, bias = null] = node.inputs;
  invariant(weight && values && scale && zeroPoint, "a linear layer has a weight");
  const [out, width] = weight.shape as [number, number];
  const keys = quantizedKeys(weight.name);
  const columns = graph.param(keys.values, [width, out], "int8");
  const columnScale = graph.param(keys.scale, [out], "float32");
  // The operator adds vectors; a low-rank term in the place of the bias is a matrix.
  const vector = bias?.rank === 1 ? bias : null;
  const inputs = [values, columns, scale, columnScale, zeroPoint, null, vector];
  const product = { op: "MatMulIntegerToFloat", domain: "com.microsoft", inputs, attributes: {} };
  if (vector === bias) {
    graph.nodes.push({ ...product, outputs: node.outputs });
    return;
  }
  const [sum] = graph.emit(product.op, inputs, [node.outputs[0]!], { domain: product.domain });
  graph.nodes.push({ op: "Add", domain: "", inputs: [sum!, bias], outputs: node.outputs, attributes: {} });
}
