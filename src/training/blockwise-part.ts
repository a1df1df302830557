import { type Graph, serialize } from "../graph/index.ts";
import { type CarriedName } from "../models/wan-dit/parts.ts";
import { Engine } from "../runtime/engine.ts";
import { invariant } from "../tensor/errors.ts";
import { type Tensor } from "../tensor/tensor.ts";
import { NAMES } from "./blockwise-graphs.ts";
import { asFed } from "./blockwise-weights.ts";
import { type Batch } from "./train.ts";

/** Carried values, or their adjoints. */
export type Carried = ReadonlyMap<CarriedName, Tensor>;

/** Where the inputs of a part come from; what a graph does not ask for is not used. */
export interface PartFeeds {
  /** A parameter by its name in the graph, as it is stored; undefined for those bound for good. */
  readonly param: (name: string) => Tensor | undefined;
  readonly batch?: Batch;
  /** Carried values at the start. */
  readonly carried?: Carried;
  readonly endAdjoints?: Carried;
}

/** What a part computes, as far as its graph does. */
export interface PartResult {
  readonly end: Carried;
  readonly startAdjoints: Carried;
  /** By the parameters' names in the graph. */
  readonly gradients: ReadonlyMap<string, Float32Array>;
  readonly metrics: Readonly<Record<string, number>>;
}

/** One of the graphs of a step, ready to run. */
export class PartEngine {
  private constructor(
    private readonly graph: Graph,
    private readonly engine: Engine,
    private readonly bound: ReadonlySet<string>,
  ) {}

  /** @param weights parameters that stay bound, as they are stored */
  static async create(
    graph: Graph,
    weights: Readonly<Record<string, Tensor>>,
    options: { readonly name: string; readonly threads: number },
  ): Promise<PartEngine> {
    const inputs = Object.fromEntries(
      Object.entries(weights).map(([name, tensor]) => [name, asFed(tensor, graph.params.get(name)!.dtype)]),
    );
    const engine = await Engine.create(serialize(graph), { ...options, inputs });
    return new PartEngine(graph, engine, new Set(Object.keys(weights)));
  }

  async run({ param, batch = {}, carried, endAdjoints }: PartFeeds): Promise<PartResult> {
    const feeds: Record<string, Tensor> = {};
    for (const { name, dtype } of this.graph.params.values()) {
      const value = this.bound.has(name) ? undefined : param(name);
      if (value) feeds[name] = asFed(value, dtype);
    }
    for (const name of this.graph.inputs.keys()) {
      const value = name.startsWith(NAMES.endAdjoint)
        ? endAdjoints?.get(name.slice(NAMES.endAdjoint.length) as CarriedName)
        : (carried?.get(name as CarriedName) ?? batch[name]);
      if (value) feeds[name] = value;
    }
    return sorted(await this.engine.run(feeds));
  }

  release(): Promise<void> {
    return this.engine.release();
  }
}

function sorted(results: Readonly<Record<string, Tensor>>): PartResult {
  const end = new Map<CarriedName, Tensor>();
  const startAdjoints = new Map<CarriedName, Tensor>();
  const gradients = new Map<string, Float32Array>();
  const metrics: Record<string, number> = {};
  for (const [name, value] of Object.entries(results)) {
    const carriedName = (prefix: string) => name.slice(prefix.length) as CarriedName;
    if (name.startsWith(NAMES.end)) end.set(carriedName(NAMES.end), value);
    else if (name.startsWith(NAMES.startAdjoint)) startAdjoints.set(carriedName(NAMES.startAdjoint), value);
    else if (name.startsWith(NAMES.gradient)) {
      invariant(value.data instanceof Float32Array, `${name} is ${value.dtype}`);
      gradients.set(name.slice(NAMES.gradient.length), value.data);
    } else metrics[name] = Number(value.data[0]);
  }
  return { end, startAdjoints, gradients, metrics };
}
