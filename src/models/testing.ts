import { type Feeds, sampleTensor } from "../graph/testing.ts";
import { Graph, type Value, gradients, serialize, verify } from "../graph/index.ts";
import { Engine } from "../runtime/engine.ts";
import { type Tensor } from "../tensor/tensor.ts";

export interface SlopeCheck {
  /** float64 where every op has a kernel for it. */
  readonly dtype: "float32" | "float64";
  /** Builds a model in a graph and returns a scalar loss; called for forward and backward pass alike. */
  readonly loss: (graph: Graph) => Value;
  /** Values of inputs; those not named, and all parameters, are random. */
  readonly feeds?: Feeds;
}

/** The slope of a loss along one random direction of a parameter: measured, and by its gradient. */
export interface Slope {
  readonly param: string;
  readonly measured: number;
  readonly predicted: number;
}

/** Measures, for every parameter of a model, what its gradient predicts. */
export async function slopes({ dtype, loss, feeds = {} }: SlopeCheck): Promise<Slope[]> {
  const graph = new Graph(dtype);
  const value = loss(graph);
  graph.output("loss", value);
  const params = [...graph.params.values()];
  const given: Record<string, Tensor> = {};
  [...graph.inputs.values(), ...params].forEach(({ name, shape }, i) => {
    given[name] = feeds[name] ?? (sampleTensor(shape, i + 1, { dtype }) as Tensor);
  });
  // Fused operators of the later optimisation levels have no double-precision kernels.
  const options = { optimization: "basic" } as const;
  const forward = await Engine.create(serialize(graph), options);
  gradients(value, params).forEach((gradient, i) => graph.output(`gradient:${params[i]!.name}`, gradient));
  verify(graph);
  const backward = await Engine.create(serialize(graph), options);
  const results = await backward.run(given);
  const step = dtype === "float64" ? 1e-5 : 1e-2;
  const found: Slope[] = [];
  for (const [i, { name, shape }] of params.entries()) {
    const direction = sampleTensor(shape, 1000 + i).data;
    const lossAt = async (distance: number): Promise<number> => {
      const start = given[name] as Tensor<"float64">;
      const data = start.data.map((x, j) => x + distance * direction[j]!);
      const moved = await forward.run({ ...given, [name]: { ...start, data } });
      return Number(moved["loss"]!.data[0]);
    };
    const measured = ((await lossAt(step)) - (await lossAt(-step))) / (2 * step);
    const gradient = results[`gradient:${name}`]!.data;
    const predicted = Array.from(direction).reduce((sum, d, j) => sum + d * Number(gradient[j]), 0);
    found.push({ param: name, measured, predicted });
  }
  await forward.release();
  await backward.release();
  return found;
}
