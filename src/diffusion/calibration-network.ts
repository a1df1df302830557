/** How a calibration evaluates a denoiser: here with all weights in memory; see `staged-calibration.ts` for large ones. */
import {
  int8LinearGroups,
  observeLinears,
  quantizeLinears,
  quantizedParams,
  smoothingParams,
} from "../models/layers/int8-linears.ts";
import { type QuantizedWeight, quantizeWeight } from "../models/layers/smooth-quant.ts";
import { type WanDiTGraph, type WanDiTShape, buildWanDiT, serializeWanDiT } from "../models/wan-dit/build.ts";
import { type WanDiTConfig } from "../models/wan-dit/config.ts";
import { Engine } from "../runtime/engine.ts";
import { int8Saturates } from "../runtime/int8-check.ts";
import { type Tensor } from "../tensor/tensor.ts";
import { type PhaseName } from "./finetuned-weights.ts";
import { type Int8Group } from "./int8-file.ts";

/** All weights of a denoiser in one phase, by key. */
export type PhaseWeights = ReadonlyMap<string, Tensor<"float32">>;

/** Values of inputs by name; null where the model takes none. */
export type InputValues = Readonly<Record<string, Tensor | null>>;

/** A denoiser that is open, in one precision. */
export interface Evaluator {
  /** Puts a phase in force, before the first run. */
  use(phase: PhaseName): Promise<void>;
  /** Computes the velocity, and the rows that groups read where they are observed. Inputs it lacks are not used. */
  run(values: InputValues): Promise<Readonly<Record<string, Tensor>>>;
  release(): Promise<void>;
}

export interface CalibrationNetwork {
  readonly config: WanDiTConfig;
  readonly shape: WanDiTShape;
  /** What a layer's weight [out, in] is when it is rounded: one for each phase that has its own. */
  weightsOf(key: string): Promise<readonly Tensor<"float32">[]>;
  /** In float32. @param isObserved whether runs give samples of what groups read: see `observeLinears` */
  openExact(isObserved: boolean): Promise<Evaluator>;
  /** With these groups in int8. */
  openInt8(groups: readonly Int8Group[]): Promise<Evaluator>;
}

export interface HeldNetworkOptions {
  readonly config: WanDiTConfig;
  readonly shape: WanDiTShape;
  readonly weights: Readonly<Record<PhaseName, PhaseWeights>>;
  readonly threads: number;
}

/** A denoiser whose merged weights are in memory. It runs in the calling thread, which is blocked while it computes. */
export function heldNetwork({ config, shape, weights, threads }: HeldNetworkOptions): CalibrationNetwork {
  const rounded = new WeakMap<Int8Group, Map<string, QuantizedWeight>>();
  /** Each weight is rounded once with each smoothing. */
  const round = (phase: PhaseName, key: string, group: Int8Group): QuantizedWeight => {
    const known = rounded.get(group) ?? new Map<string, QuantizedWeight>();
    rounded.set(group, known);
    const weight = known.get(`${phase} ${key}`) ?? quantizeWeight(weights[phase].get(key)!, group);
    known.set(`${phase} ${key}`, weight);
    return weight;
  };
  return {
    config,
    shape,
    weightsOf: async (key) => Object.values(weights).map((phase) => phase.get(key)!),
    async openExact(isObserved) {
      const graph = buildWanDiT(config, shape);
      if (isObserved) observeLinears(graph, int8LinearGroups(graph));
      const engine = await Engine.create(serializeWanDiT(graph), { name: "denoiser", threads });
      return evaluator(engine, graph, (phase) => weights[phase]);
    },
    async openInt8(groups) {
      const graph = buildWanDiT(config, shape);
      const names = new Set(groups.map(({ name }) => name));
      quantizeLinears(
        graph,
        int8LinearGroups(graph).filter(({ name }) => names.has(name)),
      );
      const exactInt8 = await int8Saturates();
      const engine = await Engine.create(serializeWanDiT(graph), { name: "denoiser", threads, exactInt8 });
      const paramsOf = (phase: PhaseName): ReadonlyMap<string, Tensor> => {
        const params = new Map<string, Tensor>();
        for (const group of groups) {
          for (const [key, value] of smoothingParams(group.name, group)) params.set(key, value);
          for (const weight of group.weights) {
            for (const [key, value] of quantizedParams(weight, round(phase, weight, group)))
              params.set(key, value);
          }
        }
        for (const key of graph.params.keys())
          if (!params.has(key)) params.set(key, weights[phase].get(key)!);
        return params;
      };
      return evaluator(engine, graph, paramsOf);
    },
  };
}

function evaluator(
  engine: Engine,
  graph: WanDiTGraph,
  paramsOf: (phase: PhaseName) => ReadonlyMap<string, Tensor>,
): Evaluator {
  return {
    use: (phase) => engine.setInputs(Object.fromEntries(paramsOf(phase))),
    run: (values) =>
      engine.run(
        Object.fromEntries(Object.entries(present(values)).filter(([name]) => graph.inputs.has(name))),
      ),
    release: () => engine.release(),
  };
}

/** Values of the inputs that a model takes. */
export function present(values: InputValues): Record<string, Tensor> {
  const feeds: Record<string, Tensor> = {};
  for (const [name, value] of Object.entries(values)) if (value) feeds[name] = value;
  return feeds;
}
