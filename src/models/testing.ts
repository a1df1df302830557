import { type Feeds, sampleTensor } from "../graph/testing.ts";
import { Graph, type Value, gradients, serialize, verify } from "../graph/index.ts";
import { Engine } from "../runtime/engine.ts";
import { type Tensor, sizeOf } from "../tensor/tensor.ts";

export interface SlopeCheck {
  /** float64 where every op has a kernel for it. */
  readonly dtype: "float32" | "float64";
  /** Builds a model in a graph and returns a scalar loss; called for forward and backward pass alike. */
  readonly loss: (graph: Graph) => Value;
  /** Values of inputs; those not named, and all parameters, are random. */
  readonly feeds?: Feeds;
}

/** The slope of a loss along one direction of a parameter: measured, and by its gradient. */
export interface Slope {
  readonly param: string;
  readonly measured: number;
  readonly predicted: number;
}

/** Five points around the middle, in steps: their sum with these weights is the slope with an error of step⁴. */
const STENCIL = [
  [-2, 1 / 12],
  [-1, -8 / 12],
  [1, 8 / 12],
  [2, -1 / 12],
] as const;

/** A step changes the loss by this share of it, or is the longest one: short steps drown in rounding, long ones bend. */
const STEPS = {
  float32: { change: 2e-3, longest: 0.04 },
  float64: { change: 1e-4, longest: 1e-3 },
} as const;

/**
 * Measures, for every parameter of a model, what its gradient predicts. The direction is that of the gradient plus a
 * random one of the same length: the first makes the slope steep, the second finds what the gradient misses.
 */
export async function slopes({ dtype, loss, feeds = {} }: SlopeCheck): Promise<Slope[]> {
  const graph = new Graph(dtype);
  const value = loss(graph);
  graph.output("loss", value);
  const params = [...graph.params.values()];
  const given: Record<string, Tensor> = {};
  [...graph.inputs.values(), ...params].forEach(({ name, shape }, i) => {
    // Matrices and kernels keep the size of what passes, so that activations stay near 1.
    const width = sizeOf(shape.slice(1));
    const high = graph.params.has(name) && width > 1 ? Math.sqrt(3 / width) : 1;
    given[name] = feeds[name] ?? (sampleTensor(shape, i + 1, { low: -high, high, dtype }) as Tensor);
  });
  // Fused operators of the later optimisation levels have no double-precision kernels.
  const options = { optimization: "basic" } as const;
  const forward = await Engine.create(serialize(graph), options);
  gradients(value, params).forEach((gradient, i) => graph.output(`gradient:${params[i]!.name}`, gradient));
  verify(graph);
  const backward = await Engine.create(serialize(graph), options);
  const results = await backward.run(given);
  const start = Number(results["loss"]!.data[0]);
  const found: Slope[] = [];
  for (const [i, { name, shape }] of params.entries()) {
    const gradient = Float64Array.from(results[`gradient:${name}`]!.data as Float64Array);
    const random = unit(Float64Array.from(sampleTensor(shape, 1000 + i).data));
    const steepest = unit(gradient);
    const direction = random.map((x, j) => x + steepest[j]!);
    const predicted = direction.reduce((sum, d, j) => sum + d * gradient[j]!, 0);
    const { change, longest } = STEPS[dtype];
    const step = Math.min(longest, (change * Math.abs(start)) / Math.abs(predicted));
    let measured = 0;
    for (const [distance, weight] of STENCIL) {
      const at = given[name] as Tensor<"float64">;
      const data = at.data.map((x, j) => x + distance * step * direction[j]!);
      const moved = await forward.run({ ...given, [name]: { ...at, data } });
      measured += (weight * Number(moved["loss"]!.data[0])) / step;
    }
    found.push({ param: name, measured, predicted });
  }
  await forward.release();
  await backward.release();
  return found;
}

/** A vector of length 1; zeros stay zeros. */
function unit(vector: Float64Array): Float64Array {
  const length = Math.hypot(...vector) || 1;
  return vector.map((x) => x / length);
}

/**
 * The largest relative error of predicted slopes. Slopes below `floor` times the steepest one count as that steep:
 * they drown in the rounding of the loss.
 */
export function largestError(found: readonly Slope[], floor: number): { error: number; param: string } {
  const steepest = Math.max(...found.map(({ measured }) => Math.abs(measured)));
  const errors = found.map(({ param, measured, predicted }) => ({
    param,
    error:
      Math.abs(measured - predicted) / Math.max(Math.abs(measured), Math.abs(predicted), floor * steepest),
  }));
  return errors.reduce((worst, each) => (each.error > worst.error ? each : worst));
}
