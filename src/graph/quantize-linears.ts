/** Linear layers in 8 bits: weights quantised once, activations whenever a run computes them. */
import { invariant } from "../tensor/errors.ts";
import { type Tensor, int64 } from "../tensor/tensor.ts";
import { add, cast, div, maximum, mul, neg, sub } from "./elementwise.ts";
import { type Graph, type Node, type Value } from "./graph.ts";
import { max, min } from "./reduce.ts";
import { expand, gather, reshape } from "./shape-ops.ts";

/** Linear layers of one module that read the same activations, such as the q, k and v of a self-attention. */
export interface LinearGroup {
  /** The key that the weights have in common with their smoothing: that of the first layer, without "weight". */
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
  /** float32 [out]: what the layer makes of the mean that is taken from its activations. */
  readonly offset: string;
}

export function quantizedKeys(weight: string): QuantizedKeys {
  const part = (name: string): string => `${weight}_${name}`;
  return { values: part("int8"), scale: part("scale"), offset: part("offset") };
}

/** Keys of how a group's activations are rounded. */
export interface SmoothingKeys {
  /** float32 [in], taken from the activations first. */
  readonly mean: string;
  /** float32 [in], what they are multiplied by then. */
  readonly factors: string;
  /** uint8, 1 to 254: what 0 becomes. Values above it share what it leaves to 255, values below what lies under it. */
  readonly zeroPoint: string;
}

export function smoothingKeys(group: string): SmoothingKeys {
  return { mean: `${group}mean`, factors: `${group}smoothing`, zeroPoint: `${group}zero_point` };
}

/**
 * Finds linear layers and what they read.
 * @param targets keys of the weights [out, in] to look for; those that the graph lacks, or uses otherwise, are passed
 *   over
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

/** Rows that `observeLinears` takes of each group's activations, where there are as many. */
const SAMPLED_ROWS = 64;

/** Name of an output of `observeLinears`. */
export function observedName(group: string): string {
  return `${group}rows`;
}

/** Makes a sample of the rows that each group reads an output [rows, in] of the graph. */
export function observeLinears(graph: Graph, groups: readonly LinearGroup[]): void {
  for (const { name, input } of groups) {
    const numRows = input.dim(0);
    const count = Math.min(numRows, SAMPLED_ROWS);
    const indices = Array.from({ length: count }, (_, i) => Math.floor(((i + 0.5) * numRows) / count));
    graph.output(observedName(name), gather(input, graph.constant(int64(indices))));
  }
}

/**
 * Computes linear layers in 8 bits: x Wᵀ + b becomes
 * ((x - mean) · factors in uint8) × (W / factors in int8) + W mean + b.
 * Each row of the activations has a scale of its own, found in each run; the int8 weight has one for each column.
 * Weights are parameters under other keys then, see `quantizedKeys` and `smoothingKeys`. Nothing can be differentiated
 * through the result.
 * @param groups of this graph, as `linearGroups` gives them
 */
export function quantizeLinears(graph: Graph, groups: readonly LinearGroup[]): void {
  const groupOf = new Map(groups.flatMap((group) => group.weights.map((key) => [key, group] as const)));
  const quantized = new Map<LinearGroup, QuantizedRows>();
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
    const value = tensors.get(key);
    if (!value) continue;
    graph.params.delete(key);
    graph.constants.set(key, value);
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

/** Largest uint8. */
const LARGEST = 255;
/** Keeps rows of zeros from being divided by 0. */
const SMALLEST_STEP = 1e-30;

/** Activations, each row in steps of its own. */
interface QuantizedRows {
  /** uint8 [rows, in] */
  readonly values: Value;
  /** uint8 [] */
  readonly zeroPoint: Value;
  /** float32 [rows, 1] */
  readonly steps: Value;
}

function quantizeActivations(graph: Graph, { name, input }: LinearGroup): QuantizedRows {
  const [rows, width] = input.shape as [number, number];
  const keys = smoothingKeys(name);
  const centred = sub(input, graph.param(keys.mean, [width], "float32"));
  const smooth = mul(centred, graph.param(keys.factors, [width], "float32"));
  const zeroPoint = graph.param(keys.zeroPoint, [], "uint8");
  const below = cast(zeroPoint, "float32");
  const flat = { keepDims: false };
  const high = div(max(smooth, [1], flat), sub(LARGEST, below));
  const low = div(min(smooth, [1], flat), neg(below));
  const steps = maximum(maximum(high, low), SMALLEST_STEP);
  const type = { shape: input.shape, dtype: "uint8" as const };
  const inputs = [smooth, steps, expand(zeroPoint, [rows])];
  const [values] = graph.emit("QuantizeLinear", inputs, [type], { attributes: { axis: 0 } });
  return { values: values!, zeroPoint, steps: reshape(steps, [rows, 1]) };
}

function emitProduct(graph: Graph, node: Node, { values, zeroPoint, steps }: QuantizedRows): void {
  const [, weight, bias = null] = node.inputs;
  const [output] = node.outputs;
  invariant(weight && output, "a linear layer has a weight");
  const [out, width] = weight.shape as [number, number];
  const keys = quantizedKeys(weight.name);
  const columns = graph.param(keys.values, [width, out], "int8");
  const columnScale = graph.param(keys.scale, [out], "float32");
  const inputs = [values, columns, graph.scalar(1), columnScale, zeroPoint];
  const [product] = graph.emit("MatMulIntegerToFloat", inputs, [output], { domain: "com.microsoft" });
  const scaled = mul(product!, steps);
  const offset = graph.param(keys.offset, [out], "float32");
  // A low-rank term in the place of the bias is a matrix: vectors are added up before.
  const terms =
    bias === null
      ? [scaled, offset]
      : bias.rank === 1
        ? [scaled, add(offset, bias)]
        : [add(scaled, offset), bias];
  graph.nodes.push({ op: "Add", domain: "", inputs: terms, outputs: node.outputs, attributes: {} });
}
