import { type Graph, countEffort, countFlops, paramBytes, peakActivationBytes } from "../graph/index.ts";

/** What one run of a graph takes. */
export interface RunCost {
  /** A multiplication with its addition counts as two. */
  readonly flops: number;
  /** Operations of large matrix products that take as long: see `countEffort`. */
  readonly effort: number;
  /** Parameters, in the type that the graph computes in. */
  readonly weightBytes: number;
  /** The most that intermediate results take at one time. */
  readonly workingBytes: number;
}

/** Counts what one run of a graph takes, from its shapes alone. */
export function runCost(graph: Graph): RunCost {
  return {
    flops: countFlops(graph),
    effort: countEffort(graph),
    weightBytes: paramBytes(graph),
    workingBytes: peakActivationBytes(graph),
  };
}
