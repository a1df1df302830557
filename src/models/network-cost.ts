/** What a network takes on the CPU, with its weights held in memory or left in their files: counted from its graph. */
import { type Graph, matrixParams, paramBytes, valueBytes } from "../graph/index.ts";
import { runCost } from "./run-cost.ts";

export interface NetworkCost {
  readonly flops: number;
  /** Operations of large matrix products that take as long as one evaluation. */
  readonly effort: number;
  /** Weights held as float32. */
  readonly heldBytes: number;
  /** What the engine takes beside them. */
  readonly engineBytes: number;
}

export const NO_NETWORK: NetworkCost = { flops: 0, effort: 0, heldBytes: 0, engineBytes: 0 };

/**
 * The engine takes this many bytes for one of the largest intermediate results, and keeps them as long as a graph is
 * open: 2.4 to 2.5 in the denoiser. In the VAE, for both graphs of a side (start of a video and what follows) and what
 * layers remember, 2.2 times the larger one's at the published widths, up to 2.8 in small models.
 */
const ENGINE_FACTOR = 2.45;

export function engineBytes(workingBytes: number): number {
  return ENGINE_FACTOR * workingBytes;
}

/**
 * The part of it that is in use. Matrices that are widened find room in the rest, as measured with UMT5-xxl, CLIP ViT-H
 * and the published denoiser.
 */
const USED_FACTOR = 2;

/**
 * Reading a weight of 16 bits from its file and widening it takes as long as this many operations, beside its part of a
 * product. Up to the size where malloc asks the system, the wide matrix finds memory that is there; beyond, it gets new
 * pages each time. Measured with CLIP ViT-H, and with the published denoiser.
 */
const EFFORT_PER_WIDENED = { small: 250, large: 600 };
const LARGE_MATRIX_BYTES = 2 ** 25;

/**
 * Packing an int8 weight takes as long as this many operations: as often as its graph is opened, which stages are for
 * each evaluation. Set from two blocks of the published denoiser (`bench/full-size.ts`).
 */
const EFFORT_PER_PACKED = 320;

/** Bytes of the parameters of all graphs. */
export function paramBytesOf(graphs: readonly Graph[]): number {
  return graphs.reduce((sum, graph) => sum + paramBytes(graph), 0);
}

/** @param mapBeyondBytes models of more bytes as float32 stay in their files */
export function networkCost(graph: Graph, mapBeyondBytes: number): NetworkCost {
  return costOf(graph, paramBytes(graph) > mapBeyondBytes);
}

/** Stages one after the other: each is closed before the next is opened, but the weights that they hold stay. */
export function stagedCost(stages: readonly Graph[], mapBeyondBytes: number): NetworkCost {
  const isMapped = paramBytesOf(stages) > mapBeyondBytes;
  let sum = NO_NETWORK;
  for (const graph of stages) {
    const stage = costOf(graph, isMapped);
    const handedOn = [...graph.inputs.values()].reduce((bytes, value) => bytes + valueBytes(value), 0);
    sum = {
      flops: sum.flops + stage.flops,
      effort: sum.effort + stage.effort + EFFORT_PER_PACKED * constantBytes(graph),
      heldBytes: sum.heldBytes + stage.heldBytes,
      engineBytes: Math.max(sum.engineBytes, stage.engineBytes + handedOn),
    };
  }
  return sum;
}

function costOf(graph: Graph, isMapped: boolean): NetworkCost {
  const { flops, effort, weightBytes, workingBytes } = runCost(graph);
  if (!isMapped) {
    const ownBytes = engineBytes(workingBytes) + constantBytes(graph);
    return { flops, effort, heldBytes: weightBytes, engineBytes: ownBytes };
  }
  const inFiles = matrixParams(graph);
  let heldBytes = 0;
  for (const param of graph.params.values()) {
    if (!inFiles.has(param.name) && param.dtype !== "int8") heldBytes += valueBytes(param);
  }
  let widening = 0;
  const sizes = new Set<number>();
  for (const { op, inputs } of graph.nodes) {
    // Of a table only the rows are widened that are looked up.
    if (op === "Gather") continue;
    for (const input of inputs) {
      if (!input || !inFiles.has(input.name)) continue;
      const bytes = valueBytes(input);
      const effortEach = EFFORT_PER_WIDENED[bytes > LARGE_MATRIX_BYTES ? "large" : "small"];
      widening += (bytes / Float32Array.BYTES_PER_ELEMENT) * effortEach;
      sizes.add(bytes);
    }
  }
  // One matrix is wide at a time, but the place of a smaller one is kept when a larger one comes.
  const [largest = 0, smaller = 0] = [...sizes].sort((a, b) => b - a);
  const runBytes = Math.max(engineBytes(workingBytes), USED_FACTOR * workingBytes + largest + smaller);
  const ownBytes = runBytes + constantBytes(graph);
  return { flops, effort: effort + widening, heldBytes, engineBytes: ownBytes };
}

/** Weights in int8 are constants of each graph, which packs them for itself. */
function constantBytes(graph: Graph): number {
  let bytes = 0;
  for (const param of graph.params.values()) if (param.dtype === "int8") bytes += valueBytes(param);
  return bytes;
}
