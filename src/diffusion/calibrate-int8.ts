/** Finds out how a denoiser is best computed in int8: on its own activations, while it generates. */
import {
  int8LinearGroups,
  type LinearGroup,
  observeLinears,
  observedName,
  quantizeLinears,
  quantizedParams,
  smoothingParams,
} from "../models/layers/int8-linears.ts";
import {
  type FoundSmoothing,
  type QuantizedWeight,
  type Smoothing,
  quantizeWeight,
  searchSmoothing,
} from "../models/layers/smooth-quant.ts";
import { type WanDiTGraph, type WanDiTShape, buildWanDiT, serializeWanDiT } from "../models/wan-dit/build.ts";
import { type WanDiTConfig } from "../models/wan-dit/config.ts";
import { Engine } from "../runtime/engine.ts";
import { int8Saturates } from "../runtime/int8-check.ts";
import { type Tensor, sizeOf } from "../tensor/tensor.ts";
import { UserError, invariant } from "../tensor/errors.ts";
import { denoise, initialState } from "./denoise.ts";
import { type SegmentInputs, denoiserValues } from "./denoiser.ts";
import { type PhaseName } from "./finetuned-weights.ts";
import { type Int8Group } from "./int8-calibration.ts";
import { type Schedule } from "./schedule.ts";

/** All weights of a denoiser in one phase, by key. */
export type PhaseWeights = ReadonlyMap<string, Tensor<"float32">>;

/** A segment that a phase generates during the calibration. */
export interface CalibrationSegment {
  readonly phase: PhaseName;
  readonly inputs: SegmentInputs;
}

export interface CalibrationOptions {
  readonly config: WanDiTConfig;
  readonly shape: WanDiTShape;
  readonly weights: Readonly<Record<PhaseName, PhaseWeights>>;
  /** Whose activations the smoothing is made for. */
  readonly segments: readonly CalibrationSegment[];
  /** Others, on which errors of the velocity are measured. */
  readonly heldOut: readonly CalibrationSegment[];
  readonly schedule: Schedule;
  readonly guidanceScale: number;
  readonly seed: number;
  /** Largest error of the velocity that is wanted, relative to its root mean square. */
  readonly maxError: number;
  readonly threads: number;
  /** Told in a sentence what is found. */
  readonly announce?: (message: string) => void;
}

/** A group of layers as it came out. */
export interface CalibratedGroup extends Int8Group, FoundSmoothing {
  readonly isQuantized: boolean;
}

export interface CalibrationResult {
  /** In the order of the model. */
  readonly groups: readonly CalibratedGroup[];
  /** Error of the velocity over three steps of each segment held out, relative to its root mean square. */
  readonly velocityError: number;
  /** The same with every layer quantised. */
  readonly errorOfAll: number;
}

/** One evaluation of the velocity in float32. */
interface Recorded {
  readonly phase: PhaseName;
  readonly step: number;
  readonly values: Readonly<Record<string, Tensor | null>>;
  readonly velocity: Float32Array;
}

/**
 * Generates the segments in float32 and samples all activations, then searches each group's smoothing. Where the
 * velocity comes out worse than wanted with all layers quantised, every group is tried alone at the middle step, and
 * those that add most to the error for their work are left in float32. Blocks the calling thread while it computes.
 * @throws UserError when even no quantised layer keeps the velocity as exact as wanted
 */
export async function calibrateInt8(options: CalibrationOptions): Promise<CalibrationResult> {
  const { maxError, announce = () => {} } = options;
  const samples = await observe(options);
  const recorded = await record(options);
  const graph = buildWanDiT(options.config, options.shape);
  const groups = int8LinearGroups(graph);
  const found = groups.map(({ name, weights }) =>
    searchSmoothing(
      samples.get(name)!,
      Object.values(options.weights).flatMap((phase) => weights.map((key) => phase.get(key)!)),
    ),
  );
  announce(`searched the smoothing of ${groups.length} groups of linear layers`);
  const trial = new Trial(options, recorded, new Map(groups.map(({ name }, i) => [name, found[i]!])));
  const all = groups.map(({ name }) => name);
  const errorOfAll = await trial.velocityError(all);
  announce(`with all of them in int8 the velocity is off by ${percent(errorOfAll)}`);
  const middle = recorded.filter(({ step }) => step === middleStep(options));
  let quantized: readonly string[] = all;
  let velocityError = errorOfAll;
  if (errorOfAll > maxError) {
    const shares = new Map<string, number>();
    for (const name of all) shares.set(name, (await trial.velocityError([name], middle)) ** 2);
    // Errors of single groups add up as squares, nearly: what is missing from their sum is spread over all.
    const scale = errorOfAll ** 2 / [...shares.values()].reduce((sum, x) => sum + x, 0);
    let expected = errorOfAll ** 2;
    const perWork = new Map(
      groups.map((group) => [group.name, shares.get(group.name)! / workOf(group, graph)]),
    );
    const worstFirst = all.toSorted((a, b) => perWork.get(b)! - perWork.get(a)!);
    while (velocityError > maxError) {
      do {
        const worst = worstFirst.shift();
        if (worst === undefined)
          throw new UserError(`no layer can be int8 with an error of ${percent(maxError)}`);
        expected -= scale * shares.get(worst)!;
      } while (expected > maxError ** 2);
      const kept = new Set(worstFirst);
      quantized = all.filter((name) => kept.has(name));
      velocityError = await trial.velocityError(quantized);
      announce(
        `with ${all.length - quantized.length} of ${all.length} groups left in float32 it is off by ${percent(velocityError)}`,
      );
    }
  }
  const isQuantized = new Set(quantized);
  return {
    groups: groups.map(({ name, weights }, i) => ({
      ...found[i]!,
      name,
      weights,
      isQuantized: isQuantized.has(name),
    })),
    velocityError,
    errorOfAll,
  };
}

/** Generates the segments that smoothing is made for; every evaluation gives samples of each group's activations. */
async function observe(options: CalibrationOptions): Promise<Map<string, Tensor<"float32">[]>> {
  const graph = buildWanDiT(options.config, options.shape);
  const groups = int8LinearGroups(graph);
  invariant(groups.length > 0, "the denoiser has linear layers");
  observeLinears(graph, groups);
  const samples = new Map(groups.map(({ name }) => [name, [] as Tensor<"float32">[]]));
  await generate(options, options.segments, graph, (_, results) => {
    for (const { name } of groups) samples.get(name)!.push(results[observedName(name)] as Tensor<"float32">);
  });
  return samples;
}

/** Generates the segments held out, and keeps the first, the middle and the last step of each. */
async function record(options: CalibrationOptions): Promise<Recorded[]> {
  const steps = [0, middleStep(options), options.schedule.timesteps.length - 1];
  const recorded: Recorded[] = [];
  await generate(options, options.heldOut, buildWanDiT(options.config, options.shape), (call) => {
    if (steps.includes(call.step)) recorded.push(call);
  });
  return recorded;
}

/** Generates segments with a graph of the denoiser; `visit` is told of every evaluation. */
async function generate(
  { config, shape, schedule, guidanceScale, seed, weights, threads }: CalibrationOptions,
  segments: readonly CalibrationSegment[],
  graph: WanDiTGraph,
  visit: (call: Recorded, results: Readonly<Record<string, Tensor>>) => void,
): Promise<void> {
  const engine = await Engine.create(serializeWanDiT(graph), { name: "denoiser", threads });
  const size = [config.outDim, shape.latentFrames, shape.latentHeight, shape.latentWidth];
  try {
    for (const { phase, inputs } of segments) {
      await engine.setInputs(Object.fromEntries(weights[phase]));
      await denoise({
        schedule,
        guidanceScale,
        from: initialState(size, seed),
        async predict(call) {
          const values = denoiserValues(config, shape, inputs, call);
          const results = await engine.run(present(values, graph));
          const velocity = results["velocity"]!.data as Float32Array;
          visit({ phase, step: call.step, values, velocity }, results);
          return velocity;
        },
      });
    }
  } finally {
    await engine.release();
  }
}

function middleStep({ schedule }: CalibrationOptions): number {
  return (schedule.timesteps.length - 1) >> 1;
}

/** Values of those inputs that a graph has. */
function present(
  values: Readonly<Record<string, Tensor | null>>,
  graph: WanDiTGraph,
): Record<string, Tensor> {
  const feeds: Record<string, Tensor> = {};
  for (const name of graph.inputs.keys()) {
    const value = values[name];
    if (value) feeds[name] = value;
  }
  return feeds;
}

/** Computes recorded velocities again with some groups quantised. */
class Trial {
  /** By phase and key. */
  private readonly quantized = new Map<string, QuantizedWeight>();

  constructor(
    private readonly options: CalibrationOptions,
    private readonly recorded: readonly Recorded[],
    private readonly smoothing: ReadonlyMap<string, Smoothing>,
  ) {}

  /** Error relative to the root mean square. */
  async velocityError(names: readonly string[], calls = this.recorded): Promise<number> {
    const { config, shape, weights, threads } = this.options;
    const graph = buildWanDiT(config, shape);
    const groups = int8LinearGroups(graph).filter(({ name }) => names.includes(name));
    quantizeLinears(graph, groups);
    const exactInt8 = await int8Saturates();
    const engine = await Engine.create(serializeWanDiT(graph), { name: "denoiser", threads, exactInt8 });
    let [noise, power] = [0, 0];
    try {
      for (const phase of new Set(calls.map((call) => call.phase))) {
        const quantized = this.quantizedWeights(phase, groups);
        const keys = [...graph.params.keys()];
        await engine.setInputs(
          Object.fromEntries(keys.map((key) => [key, quantized.get(key) ?? weights[phase].get(key)!])),
        );
        for (const { values, velocity } of calls.filter((call) => call.phase === phase)) {
          const results = await engine.run(present(values, graph));
          const got = results["velocity"]!.data as Float32Array;
          velocity.forEach((v, i) => {
            noise += (got[i]! - v) ** 2;
            power += v ** 2;
          });
        }
      }
    } finally {
      await engine.release();
    }
    return Math.sqrt(noise / power);
  }

  private quantizedWeights(phase: PhaseName, groups: readonly LinearGroup[]): Map<string, Tensor> {
    const found = new Map<string, Tensor>();
    for (const { name, weights } of groups) {
      const smoothing = this.smoothing.get(name)!;
      for (const [param, value] of smoothingParams(name, smoothing)) found.set(param, value);
      for (const key of weights) {
        const id = `${phase} ${key}`;
        const weight =
          this.quantized.get(id) ?? quantizeWeight(this.options.weights[phase].get(key)!, smoothing);
        this.quantized.set(id, weight);
        for (const [param, value] of quantizedParams(key, weight)) found.set(param, value);
      }
    }
    return found;
  }
}

/** Multiplications of a group's layers. */
function workOf({ input, weights }: LinearGroup, graph: WanDiTGraph): number {
  return weights.reduce((sum, key) => sum + input.dim(0) * sizeOf(graph.params.get(key)!.shape), 0);
}

function percent(share: number): string {
  return `${(100 * share).toFixed(2)} %`;
}
