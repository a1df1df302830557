import { InferenceSession, Tensor as OrtTensor } from "onnxruntime-node";
import { type DType, type Tensor, sizeOf } from "../tensor/tensor.ts";
import { type Graph } from "./graph.ts";
import { serialize } from "./serialize.ts";
import { verify } from "./verify.ts";

export type Feeds = Readonly<Record<string, Tensor>>;

/** Runs a graph once on the CPU, in this thread, with inputs and parameters fed by name. */
export async function evaluate(graph: Graph, feeds: Feeds): Promise<Record<string, Tensor>> {
  verify(graph);
  const session = await InferenceSession.create(serialize(graph), {
    intraOpNumThreads: 1,
    logSeverityLevel: 3,
  });
  try {
    const inputs = Object.entries(feeds).map(
      ([name, { dtype, data, shape }]) =>
        [name, new OrtTensor(dtype as "float32", data as Float32Array, shape)] as const,
    );
    const results = await session.run(Object.fromEntries(inputs));
    return Object.fromEntries(
      Object.entries(results).map(([name, { type, data, dims }]) => [
        name,
        { dtype: type as DType, shape: dims, data: data as Float32Array },
      ]),
    );
  } finally {
    await session.release();
  }
}

export interface Sample {
  readonly dtype: "float32" | "float64";
  readonly shape: readonly number[];
  readonly data: Float32Array | Float64Array;
}

/** Repeatable numbers in [low, high): a multiplicative congruential sequence. */
export function sampleTensor(
  shape: readonly number[],
  seed: number,
  {
    low = -1,
    high = 1,
    dtype = "float64",
  }: { low?: number; high?: number; dtype?: "float32" | "float64" } = {},
): Sample {
  const out = {
    dtype,
    shape,
    data: dtype === "float64" ? new Float64Array(sizeOf(shape)) : new Float32Array(sizeOf(shape)),
  };
  let state = (seed * 2654435761 + 12345) % 2147483647;
  for (let i = 0; i < sizeOf(shape); i++) {
    state = (state * 48271) % 2147483647;
    out.data[i] = low + ((high - low) * state) / 2147483647;
  }
  return out;
}
