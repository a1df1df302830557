/** Graphs that compute in float32 over weights stored in 16 bits. */
import { invariant } from "../tensor/errors.ts";
import { ONNX_DTYPE, bitCast, cast } from "./elementwise.ts";
import { type Graph, type Node, Value } from "./graph.ts";
import { after } from "./ordering.ts";

/** Element types that weights are stored in but not computed with. */
export type HalfDType = "float16" | "bfloat16";

/** How a weight can reach a graph: "uint16" are the bits of bfloat16, which itself cannot be fed. */
export type StoredDType = HalfDType | "uint16";

/** Where an op takes the weight that it multiplies with or looks up in, and where the activation. */
const OPERANDS: Readonly<Record<string, { readonly weight: number; readonly activation: number }>> = {
  Gemm: { weight: 1, activation: 0 },
  MatMul: { weight: 1, activation: 0 },
  Gather: { weight: 0, activation: 1 },
};

/** Keys of the parameters that are only ever multiplied with or looked up in: those `widenAtUse` can handle. */
export function matrixParams(graph: Graph): Set<string> {
  const keys = new Set(graph.params.keys());
  for (const node of graph.nodes) {
    node.inputs.forEach((input, position) => {
      const isMatrix = OPERANDS[node.op]?.weight === position && activationOf(node) !== null;
      if (input && !isMatrix) keys.delete(input.name);
    });
  }
  for (const output of graph.outputs.values()) keys.delete(output.name);
  return keys;
}

/**
 * Declares parameters in the type they are stored in, and widens each at the very moment it is used, so that a
 * run never holds more than a few widened matrices. Rows of lookup tables are widened after the lookup.
 * Nothing can be differentiated through the result.
 *
 * A plain Cast would not do: the engine computes casts of constants once, while it prepares the graph, and keeps
 * the results. So the cast has to wait for the activation.
 * @param stored element types by key; the keys are among `matrixParams(graph)`
 */
export function widenAtUse(graph: Graph, stored: ReadonlyMap<string, StoredDType>): void {
  const narrow = declareStored(graph, stored);
  for (const node of graph.nodes.splice(0)) {
    const at = OPERANDS[node.op]?.weight;
    const weight = at === undefined ? undefined : narrow.get(node.inputs[at]!);
    if (weight === undefined) graph.nodes.push(node);
    else if (node.op === "Gather") lookUpThenWiden(graph, node, weight);
    else {
      const wide = cast(asFloat(after(weight, [activationOf(node)!])), graph.dtype);
      graph.nodes.push({ ...node, inputs: node.inputs.map((input, i) => (i === at ? wide : input)) });
    }
  }
}

/**
 * Declares parameters in the type they are stored in, and widens each with a Cast, which the engine computes
 * once, while it prepares the graph. For devices with memory of their own.
 */
export function widenAtStart(graph: Graph, stored: ReadonlyMap<string, HalfDType>): void {
  const narrow = declareStored(graph, stored);
  const nodes = graph.nodes.splice(0);
  const wide = new Map([...narrow].map(([param, value]) => [param, cast(value, graph.dtype)]));
  for (const node of nodes) {
    const inputs = node.inputs.map((input) => (input ? (wide.get(input) ?? input) : null));
    graph.nodes.push({ ...node, inputs });
  }
}

/** Declares the parameters anew; returns the new values by the old ones. */
function declareStored(graph: Graph, stored: ReadonlyMap<string, StoredDType>): Map<Value, Value> {
  const narrow = new Map<Value, Value>();
  for (const [key, dtype] of stored) {
    const param = graph.params.get(key);
    invariant(param, `the graph has no parameter ${key}`);
    const value = new Value(graph, key, param.shape, dtype, null);
    graph.params.set(key, value);
    narrow.set(param, value);
  }
  return narrow;
}

function asFloat(stored: Value): Value {
  return stored.dtype === "uint16" ? bitCast(stored, "bfloat16") : stored;
}

function lookUpThenWiden(graph: Graph, node: Node, table: Value): void {
  const type = { shape: node.outputs[0]!.shape, dtype: table.dtype };
  const { attributes } = node;
  const [rows] = graph.emit("Gather", [table, node.inputs[1]!], [type], { attributes });
  graph.nodes.push({
    op: "Cast",
    domain: "",
    inputs: [asFloat(rows!)],
    outputs: node.outputs,
    attributes: { to: ONNX_DTYPE[graph.dtype] },
  });
}

/** The operand of a product or lookup that is only known during a run, or null. */
function activationOf(node: Node): Value | null {
  const operand = node.inputs[OPERANDS[node.op]!.activation] ?? null;
  return operand && (operand.producer || operand.graph.inputs.has(operand.name)) ? operand : null;
}
