/** How fast this machine multiplies matrices, how much memory it has left and the process has taken. */
import { freemem } from "node:os";
import { Graph, matmul, serialize } from "../graph/index.ts";
import { float32 } from "../tensor/tensor.ts";
import { Engine } from "./engine.ts";
import type { RunnerOptions } from "./runner.ts";

const SIZE = 1024;

export interface MatmulSpeedOptions extends Pick<RunnerOptions, "device" | "threads"> {
  /** Products of one run, 16 by default; more of them make the transfer of input and output weigh less. */
  readonly numProducts?: number;
  /** Runs of which the best counts, 5 by default. */
  readonly numRuns?: number;
}

/**
 * Speed of float32 matrix products of size 1024 in GFLOPS (10^9 additions and multiplications per second): the
 * peak that other work is compared with. Blocks the calling thread.
 * @throws Error when the device cannot be used, or computes wrong results
 */
export async function matmulSpeed(options: MatmulSpeedOptions = {}): Promise<number> {
  const { numProducts = 16, numRuns = 5, ...rest } = options;
  const graph = new Graph();
  const weight = graph.param("weight", [SIZE, SIZE]);
  let product = graph.input("x", [SIZE, SIZE]);
  for (let i = 0; i < numProducts; i++) product = matmul(product, weight);
  graph.output("y", product);
  // Ones times a matrix whose columns add up to 1 are ones again.
  const filled = (x: number) => float32(new Float32Array(SIZE * SIZE).fill(x), [SIZE, SIZE]);
  const inputs = { weight: filled(1 / SIZE), x: filled(1) };
  const engine = await Engine.create(serialize(graph), { ...rest, inputs, name: "matrix product" });
  try {
    let bestMs = Infinity;
    for (let run = 0; run < numRuns; run++) {
      const begin = performance.now();
      const { y } = await engine.run({});
      bestMs = Math.min(bestMs, performance.now() - begin);
      const wrong = (y!.data as Float32Array).find((x) => !(Math.abs(x - 1) < 1e-2));
      if (wrong !== undefined) throw new Error(`it computes ${wrong} where 1 is right`);
    }
    return (numProducts * 2 * SIZE ** 3) / bestMs / 1e6;
  } finally {
    await engine.release();
  }
}

/** Bytes that this process may still take: what the machine has free, and what a container leaves it. */
export function freeMemoryBytes(): number {
  const limit = process.constrainedMemory();
  // 0 where nothing is known of a limit.
  return limit === 0 ? freemem() : Math.max(0, Math.min(freemem(), limit - process.memoryUsage.rss()));
}

/**
 * The most memory this process has had resident since it began, in bytes. Pages of mapped weight files count
 * while they are in memory.
 */
export function peakMemoryBytes(): number {
  return process.resourceUsage().maxRSS * 1024;
}
