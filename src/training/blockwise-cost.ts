import { type Graph, countFlops, paramBytes, peakActivationBytes } from "../graph/index.ts";
import { TOKENS } from "../models/wan-dit/parts.ts";
import { sizeOf } from "../tensor/tensor.ts";
import { type BlockwiseGraphs } from "./blockwise-graphs.ts";

/** What one step block by block takes, counted from shapes. */
export interface BlockwiseCost {
  /** A multiplication with its addition counts as two. The forward pass counts twice, because it is computed again. */
  readonly flops: number;
  /** Of all parameters, in float32. */
  readonly weightBytes: number;
  /** The most that intermediate results of a range, of embed or of the head take at one time. */
  readonly workingBytes: number;
  /** Tokens at the starts of all ranges, which the forward pass keeps. */
  readonly keptBytes: number;
  /** Elements of the weights that are not trained: of one range, and of embed and head, which stay in memory. */
  readonly frozenInRange: number;
  readonly frozenAround: number;
  /** Of the parameters that get gradients, in float32. */
  readonly trainableBytes: number;
}

/** Counts what a step takes, before engines are made of its graphs. */
export function blockwiseCost(graphs: BlockwiseGraphs): BlockwiseCost {
  const { embed, embedBackward, ranges, blocks, head, layout, trainable } = graphs;
  const around = [embed, ...(embedBackward ? [embedBackward] : []), head];
  const inRange = [...blocks.values()].flatMap(({ forward, backward }) => [forward, backward]);
  const numFrozen = (graph: Graph): number =>
    [...graph.params.values()].reduce(
      (sum, { name, shape }) => sum + (trainable.has(name) ? 0 : sizeOf(shape)),
      0,
    );
  // Ranges of a length share their graphs, which are counted once.
  const ofLength = new Map(
    [...blocks].map(([length, { forward, backward }]) => [
      length,
      { flops: countFlops(forward) + countFlops(backward), weightBytes: paramBytes(forward) },
    ]),
  );
  const ofRanges = ranges.map(({ length }) => ofLength.get(length)!);
  const sum = (values: readonly number[]): number => values.reduce((total, x) => total + x, 0);
  const bytesPerStart = sum(TOKENS.map((name) => 4 * sizeOf(layout.shapes.get(name)!)));
  return {
    flops: sum([...around.map(countFlops), ...ofRanges.map(({ flops }) => flops)]),
    weightBytes: sum([...[embed, head].map(paramBytes), ...ofRanges.map(({ weightBytes }) => weightBytes)]),
    workingBytes: Math.max(...[...around, ...inRange].map(peakActivationBytes)),
    keptBytes: ranges.length * bytesPerStart,
    frozenInRange: Math.max(...[...blocks.values()].map(({ forward }) => numFrozen(forward))),
    frozenAround: numFrozen(embed) + numFrozen(head),
    trainableBytes: sum([...trainable.values()].map((shape) => 4 * sizeOf(shape))),
  };
}
