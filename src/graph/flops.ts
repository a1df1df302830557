import { type Graph, type Node, type Value, numElements } from "./graph.ts";

/** Floating-point operations of a node; one multiplication with its addition counts as two. */
type Count = (node: Node, inputs: readonly Value[], output: Value) => number;

/** Operations that take the time of our models. All others together are below one percent. */
const COUNTS: Readonly<Record<string, Count>> = {
  Gemm: (node, [a], output) => 2 * numElements(output) * a!.dim(node.attributes["transA"] === 1 ? 0 : 1),
  MatMul: (_node, [a], output) => 2 * numElements(output) * a!.dim(-1),
  MatMulNBits: (_node, [a], output) => 2 * numElements(output) * a!.dim(-1),
  MatMulIntegerToFloat: (_node, [a], output) => 2 * numElements(output) * a!.dim(-1),
  Conv: (_node, [, weight], output) => 2 * numElements(output) * (numElements(weight!) / weight!.dim(0)),
  // Q K^T and P V, each over every query, key and channel.
  MultiHeadAttention: (_node, [q, k, v]) => 2 * q!.dim(0) * q!.dim(1) * k!.dim(1) * (q!.dim(2) + v!.dim(2)),
};

/**
 * Floating-point operations of one run: matrix products, convolutions and attention. A size known only at run time
 * counts with its upper bound.
 */
export function countFlops(graph: Graph): number {
  return graph.nodes.reduce((sum, node) => sum + flopsOf(node), 0);
}

/** Floating-point operations of one node. */
export function flopsOf(node: Node): number {
  return COUNTS[node.op]?.(node, node.inputs as readonly Value[], node.outputs[0]!) ?? 0;
}
