import { type Graph } from "../graph/index.ts";
import { countFlops } from "../graph/flops.ts";
import { paramBytes, peakActivationBytes } from "../graph/memory.ts";

/** What one run of a graph takes. */
export interface RunCost {
  /** A multiplication with its addition counts as two. */
  readonly flops: number;
  /** Parameters, in the type that the graph computes in. */
  readonly weightBytes: number;
  /** The most that intermediate results take at one time. */
  readonly workingBytes: number;
}

/** Counts what one run of a graph takes, from its shapes alone. */
export function runCost(graph: Graph): RunCost {
  return {
    flops: countFlops(graph),
    weightBytes: paramBytes(graph),
    workingBytes: peakActivationBytes(graph),
  };
}
