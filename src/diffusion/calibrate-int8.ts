/** Finds out how a denoiser is best computed in int8: on its own activations, while it generates. */
import { int8LinearGroups, type LinearGroup, observedName } from "../models/layers/int8-linears.ts";
import { searchSmoothing } from "../models/layers/smooth-quant.ts";
import { type WanDiTGraph, buildWanDiT } from "../models/wan-dit/build.ts";
import { type Tensor, sizeOf } from "../tensor/tensor.ts";
import { UserError, invariant } from "../tensor/errors.ts";
import { ActivationRows } from "./activation-rows.ts";
import { type CalibrationNetwork, type InputValues } from "./calibration-network.ts";
import { denoise, initialState } from "./denoise.ts";
import { type SegmentInputs, denoiserValues } from "./denoiser.ts";
import { type PhaseName } from "./finetuned-weights.ts";
import { type Int8Group } from "./int8-file.ts";
import { type Schedule } from "./schedule.ts";

/** A segment that a phase generates during the calibration. */
export interface CalibrationSegment {
  readonly phase: PhaseName;
  readonly inputs: SegmentInputs;
}

/** How segments are generated. */
export interface CalibrationOptions {
  readonly network: CalibrationNetwork;
  readonly segments: readonly CalibrationSegment[];
  readonly schedule: Schedule;
  readonly guidanceScale: number;
  readonly seed: number;
  /** Told in a sentence what is found. */
  readonly announce?: (message: string) => void;
  readonly signal?: AbortSignal;
}

/** A group of layers as it came out. */
export interface CalibratedGroup extends Int8Group {
  readonly isQuantized: boolean;
}

export interface CalibrationResult {
  /** In the order of the model. */
  readonly groups: readonly CalibratedGroup[];
  /** Error of the velocity over three steps of each segment, relative to its root mean square. */
  readonly velocityError: number;
  /** The same with every layer quantised. */
  readonly errorOfAll: number;
}

/** One evaluation of the velocity in float32. */
interface Recorded {
  readonly phase: PhaseName;
  readonly step: number;
  readonly values: InputValues;
  readonly velocity: Float32Array;
}

/**
 * Generates segments in float32 and samples all activations, then searches each group's smoothing.
 * @param scratchFile for the samples; removed at the end
 * @returns every group that can be int8, in the order of the model
 */
export async function searchInt8(options: CalibrationOptions, scratchFile: string): Promise<Int8Group[]> {
  const { network, announce = () => {}, signal } = options;
  const groups = int8LinearGroups(buildWanDiT(network.config, network.shape));
  invariant(groups.length > 0, "the denoiser has linear layers");
  const rows = await ActivationRows.create(scratchFile);
  try {
    await generate(options, true, async (_, results) => {
      for (const { name } of groups) await rows.add(name, results[observedName(name)] as Tensor<"float32">);
    });
    const found: Int8Group[] = [];
    for (const { name, weights } of groups) {
      signal?.throwIfAborted();
      const stored = await Promise.all(weights.map((key) => network.weightsOf(key)));
      // Phase by phase, as they lie in the sums.
      const ordered = stored[0]!.flatMap((_, phase) => stored.map((phases) => phases[phase]!));
      const { mean, factors, zeroPoint } = searchSmoothing(await rows.read(name), ordered);
      found.push({ name, weights, mean, factors, zeroPoint });
    }
    announce(`searched the smoothing of ${groups.length} groups of linear layers`);
    return found;
  } finally {
    await rows.close();
  }
}

/**
 * Chooses the groups that are computed in int8, by segments that the smoothing was not made for. Where the velocity
 * comes out worse than wanted with all of them, units of groups are tried alone at the middle step, and those that add
 * most to the error for their work are left in float32.
 * @param groups of `searchInt8`
 * @param maxError largest error of the velocity that is wanted, relative to its root mean square
 * @throws UserError when even no quantised layer keeps the velocity as exact as wanted
 */
export async function chooseInt8(
  options: CalibrationOptions,
  groups: readonly Int8Group[],
  maxError: number,
): Promise<CalibrationResult> {
  const { network, announce = () => {} } = options;
  const recorded = await record(options);
  const errorOf = (chosen: readonly Int8Group[], calls = recorded): Promise<number> =>
    velocityError(options, chosen, calls);
  const errorOfAll = await errorOf(groups);
  announce(`with all of them in int8 the velocity is off by ${percent(errorOfAll)}`);
  let quantized = groups;
  let error = errorOfAll;
  if (errorOfAll > maxError) {
    const middle = recorded.filter(({ step }) => step === middleStep(options));
    const units = unitsOf(groups);
    const shares: number[] = [];
    for (const unit of units) shares.push((await errorOf(unit, middle)) ** 2);
    // Errors of single units add up as squares, nearly: what is missing from their sum is spread over all.
    const scale = errorOfAll ** 2 / shares.reduce((sum, x) => sum + x, 0);
    let expected = errorOfAll ** 2;
    const graph = buildWanDiT(network.config, network.shape);
    const workOf = workByName(graph);
    const perWork = units.map(
      (unit, i) => shares[i]! / unit.reduce((sum, { name }) => sum + workOf.get(name)!, 0),
    );
    const worstFirst = [...units.keys()].sort((a, b) => perWork[b]! - perWork[a]!);
    while (error > maxError) {
      do {
        const worst = worstFirst.shift();
        if (worst === undefined)
          throw new UserError(`no layer can be int8 with an error of ${percent(maxError)}`);
        expected -= scale * shares[worst]!;
      } while (expected > maxError ** 2);
      const kept = new Set(worstFirst.flatMap((unit) => units[unit]!));
      quantized = groups.filter((group) => kept.has(group));
      error = await errorOf(quantized);
      announce(
        `with ${groups.length - quantized.length} of ${groups.length} groups left in float32 it is off by ${percent(error)}`,
      );
    }
  }
  const isQuantized = new Set(quantized);
  return {
    groups: groups.map((group) => ({ ...group, isQuantized: isQuantized.has(group) })),
    velocityError: error,
    errorOfAll,
  };
}

/** The most that are tried alone. */
const MAX_UNITS = 64;

/**
 * What is left in float32 together: single groups, and in deep models those of one kind in consecutive blocks, since
 * each trial takes whole evaluations.
 */
function unitsOf(groups: readonly Int8Group[]): Int8Group[][] {
  const perUnit = Math.ceil(groups.length / MAX_UNITS);
  const units = new Map<string, Int8Group[]>();
  for (const group of groups) {
    const [, block, kind] = /(?:^|\.)blocks\.(\d+)\.(.*)$/.exec(group.name)!;
    const id = `${Math.floor(Number(block) / perUnit)} ${kind}`;
    units.set(id, [...(units.get(id) ?? []), group]);
  }
  return [...units.values()];
}

/** Generates the segments, and keeps the first, the middle and the last step of each. */
async function record(options: CalibrationOptions): Promise<Recorded[]> {
  const steps = [0, middleStep(options), options.schedule.timesteps.length - 1];
  const recorded: Recorded[] = [];
  await generate(options, false, async (call) => {
    if (steps.includes(call.step)) recorded.push(call);
  });
  return recorded;
}

/** Generates the segments in float32; `visit` is told of every evaluation. */
async function generate(
  { network, segments, schedule, guidanceScale, seed, signal }: CalibrationOptions,
  isObserved: boolean,
  visit: (call: Recorded, results: Readonly<Record<string, Tensor>>) => Promise<void>,
): Promise<void> {
  const { config, shape } = network;
  const evaluator = await network.openExact(isObserved);
  const size = [config.outDim, shape.latentFrames, shape.latentHeight, shape.latentWidth];
  try {
    for (const { phase, inputs } of segments) {
      await evaluator.use(phase);
      await denoise({
        schedule,
        guidanceScale,
        from: initialState(size, seed),
        signal,
        async predict(call) {
          const values = denoiserValues(config, shape, inputs, call);
          const results = await evaluator.run(values);
          const velocity = velocityOf(results);
          await visit({ phase, step: call.step, values, velocity }, results);
          return velocity;
        },
      });
    }
  } finally {
    await evaluator.release();
  }
}

/** Computes recorded velocities again with groups in int8. @returns their error relative to the root mean square */
async function velocityError(
  { network, signal }: CalibrationOptions,
  groups: readonly Int8Group[],
  calls: readonly Recorded[],
): Promise<number> {
  const evaluator = await network.openInt8(groups);
  let [noise, power] = [0, 0];
  try {
    for (const phase of new Set(calls.map((call) => call.phase))) {
      await evaluator.use(phase);
      for (const { values, velocity } of calls.filter((call) => call.phase === phase)) {
        signal?.throwIfAborted();
        const got = velocityOf(await evaluator.run(values));
        velocity.forEach((v, i) => {
          noise += (got[i]! - v) ** 2;
          power += v ** 2;
        });
      }
    }
  } finally {
    await evaluator.release();
  }
  return Math.sqrt(noise / power);
}

function velocityOf(results: Readonly<Record<string, Tensor>>): Float32Array {
  return results["velocity"]!.data as Float32Array;
}

function middleStep({ schedule }: Pick<CalibrationOptions, "schedule">): number {
  return (schedule.timesteps.length - 1) >> 1;
}

/** Multiplications of each group's layers. */
function workByName(graph: WanDiTGraph): Map<string, number> {
  const work = ({ input, weights }: LinearGroup): number =>
    weights.reduce((sum, key) => sum + input.dim(0) * sizeOf(graph.params.get(key)!.shape), 0);
  return new Map(int8LinearGroups(graph).map((group) => [group.name, work(group)]));
}

function percent(share: number): string {
  return `${(100 * share).toFixed(2)} %`;
}
