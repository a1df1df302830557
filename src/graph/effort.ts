import { bytesPerElement } from "../tensor/tensor.ts";
import { flopsOf } from "./flops.ts";
import { type Graph, type Node, numElements } from "./graph.ts";
import { VIEWS, valueBytes } from "./memory.ts";

/**
 * Bringing a byte to an operation, or away from it, takes as long as this many operations of a matrix product. On one
 * thread of an AMD EPYC between 5 and 9 for denoisers of width 256 and 1536 and for encoder and decoder of VAEs of 8 to
 * 384 channels; with it the time of each was foreseen to within 6 %.
 */
const FLOPS_PER_BYTE = 7.5;

/**
 * An operation in 8 bits, as a share of one in float32. Solved for a block of width 1536 (`bench/precision.ts`), which
 * takes 0.399 of its time in float32, rounding of activations included: of 120.4 billion operations 24.4 and 101.5
 * times this share.
 */
const INT8_SHARE = 0.23;

/**
 * What a run takes, in operations of a large float32 matrix product that take as long: its own arithmetic, and the
 * bytes that each operation reads and writes. Small models are mostly bytes, large ones mostly arithmetic.
 */
export function countEffort(graph: Graph): number {
  return graph.nodes.reduce(
    (sum, node) =>
      sum +
      (node.op === "MatMulIntegerToFloat" ? INT8_SHARE : 1) * flopsOf(node) +
      FLOPS_PER_BYTE * movedBytes(node),
    0,
  );
}

function movedBytes(node: Node): number {
  if (VIEWS.has(node.op)) return 0;
  const outputs = node.outputs.reduce((sum, value) => sum + valueBytes(value), 0);
  // A lookup reads the rows that it gives.
  if (node.op === "Gather") return 2 * outputs;
  const inputs = node.inputs.reduce((sum, value) => sum + (value ? valueBytes(value) : 0), 0);
  return inputs + outputs + gatheredBytes(node);
}

/** A convolution gathers what its kernel sees at every position, before it multiplies. */
function gatheredBytes({ op, inputs, outputs }: Node): number {
  if (op !== "Conv") return 0;
  const [out, weight] = [outputs[0]!, inputs[1]!];
  const numChannels = weight.dim(0);
  return (numElements(out) / numChannels) * (numElements(weight) / numChannels) * bytesPerElement(out.dtype);
}
