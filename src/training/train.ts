import { mkdir } from "node:fs/promises";
import { gradients } from "../graph/gradients.ts";
import { type Graph, type Value } from "../graph/graph.ts";
import { serialize } from "../graph/serialize.ts";
import { verify } from "../graph/verify.ts";
import { Engine } from "../runtime/engine.ts";
import { invariant } from "../tensor/errors.ts";
import { type Tensor } from "../tensor/tensor.ts";
import { accumulate, splitBatch } from "./accumulate.ts";
import { loadCheckpoint, saveCheckpoint, type TrainingState } from "./checkpoint.ts";
import { forgetStepsAfter, logStep } from "./step-log.ts";
import {
  type Arrays,
  type LearningRateSchedule,
  type Optimizer,
  clipGradients,
  learningRateAt,
  updateEma,
} from "./optimizer.ts";

export type Params = Readonly<Record<string, Tensor<"float32">>>;
export type Batch = Readonly<Record<string, Tensor>>;

const GRADIENT = "gradient:";

/**
 * Adds to a graph the gradients of a scalar for the trainable parameters, as outputs.
 * @returns these parameters
 */
export function addGradients(graph: Graph, loss: Value, isTrainable: (key: string) => boolean): Value[] {
  const trainable = [...graph.params.values()].filter((param) => isTrainable(param.name));
  gradients(loss, trainable).forEach((gradient, i) => graph.output(GRADIENT + trainable[i]!.name, gradient));
  return trainable;
}

/**
 * Extends a graph with a scalar `loss` output by gradients and prepares it to run. All parameters, frozen ones too,
 * become inputs.
 */
export async function compileTrainStep(
  graph: Graph,
  loss: Value,
  isTrainable: (key: string) => boolean,
  threads: number,
): Promise<TrainStep> {
  const trainable = addGradients(graph, loss, isTrainable);
  verify(graph);
  const engine = await Engine.create(serialize(graph), { name: "training step", threads });
  return new CompiledStep(
    engine,
    trainable.map((param) => param.name),
  );
}

export interface StepResult {
  /** Loss and other scalar outputs by name. */
  readonly metrics: Readonly<Record<string, number>>;
  /** Gradients of the trainable parameters. */
  readonly gradients: Arrays;
}

/** One forward and backward pass, however it is computed. */
export interface TrainStep {
  /** Keys of the parameters that get gradients. */
  readonly trainable: readonly string[];
  run(params: Params, batch: Batch): Promise<StepResult>;
  release(): Promise<void>;
}

/** Forward and backward pass in one graph. */
class CompiledStep implements TrainStep {
  constructor(
    private readonly engine: Engine,
    readonly trainable: readonly string[],
  ) {}

  async run(params: Params, batch: Batch): Promise<StepResult> {
    const results = await this.engine.run({ ...params, ...batch });
    const metrics: Record<string, number> = {};
    const grads: Record<string, Float32Array> = {};
    for (const [name, { data }] of Object.entries(results)) {
      if (name.startsWith(GRADIENT)) grads[name.slice(GRADIENT.length)] = data as Float32Array;
      else metrics[name] = Number(data[0]);
    }
    return { metrics, gradients: grads };
  }

  release(): Promise<void> {
    return this.engine.release();
  }
}

export interface TrainOptions {
  /** Folder of the run: `log.jsonl` and checkpoints. */
  readonly folder: string;
  /** Everything that determines the run, best as JSON; a resume under another one is refused, see `loadCheckpoint`. */
  readonly fingerprint: string;
  readonly learningRate: LearningRateSchedule;
  readonly optimizer: Optimizer;
  readonly maxGradientNorm: number;
  readonly emaDecay: number;
  /** Parts of a batch that pass one after another, so that memory holds one of them; 1 by default. */
  readonly microBatches?: number;
  readonly checkpointEverySteps: number;
  /** Checkpoints kept, 2 by default. */
  readonly keepCheckpoints?: number;
  readonly signal?: AbortSignal;
  /** Called once before the first step, with the state it starts from: what follows will be trained for sure. */
  readonly onStart?: (state: TrainingState) => void | Promise<void>;
  /** Called after every step and its checkpoint; the next step waits. The state's arrays change with the next step. */
  readonly onStep?: (report: StepReport, state: TrainingState) => void | Promise<void>;
}

export interface StepReport {
  readonly step: number;
  readonly numSteps: number;
  readonly metrics: Readonly<Record<string, number>>;
  readonly learningRate: number;
  readonly gradientNorm: number;
  readonly durationMs: number;
}

/**
 * Trains until `learningRate.numSteps`, resuming from the folder's newest checkpoint. The batch of a step is a
 * function of the step alone, so a resumed run repeats the uninterrupted one bit for bit. When the signal aborts, the
 * running step is finished and a checkpoint written.
 * @param initial all parameters of the step, frozen ones included
 * @param batchFor the whole batch of a step; all its tensors have the batch as their first axis
 * @returns the final state
 */
export async function train(
  stepFor: (step: number) => Promise<TrainStep>,
  initial: Params,
  batchFor: (step: number) => Promise<Batch>,
  options: TrainOptions,
): Promise<TrainingState> {
  const { folder, fingerprint, signal, microBatches = 1 } = options;
  await mkdir(folder, { recursive: true });
  const { numSteps } = options.learningRate;
  const first = await stepFor(0);
  let state = await loadCheckpoint(folder, fingerprint);
  state ??= startState(initial, first.trainable, options.optimizer);
  await forgetStepsAfter(folder, state.step);
  const frozen = Object.fromEntries(Object.entries(initial).filter(([key]) => !state!.params[key]));
  const weights: Params = { ...frozen, ...state.params };
  const trained: Arrays = Object.fromEntries(
    Object.entries(state.params).map(([key, { data }]) => [key, data]),
  );
  const save = (at: TrainingState) => saveCheckpoint(folder, at, fingerprint, options.keepCheckpoints);
  let savedStep = state.step;
  await options.onStart?.(state);
  for (let step = state.step; step < numSteps; step++) {
    if (signal?.aborted) break;
    const startedAt = performance.now();
    const trainStep = await stepFor(step);
    const batch = await unlessAborted(batchFor(step), signal);
    if (batch === null) break;
    const { metrics, gradients: grads } = await accumulate(
      trainStep,
      weights,
      splitBatch(batch, microBatches),
    );
    invariant(Number.isFinite(metrics["loss"]), `the loss of step ${step} is ${metrics["loss"]}`);
    // Here the gradients of the whole batch of this process are known; what follows is the same everywhere.
    const gradientNorm = clipGradients(grads, options.maxGradientNorm);
    const learningRate = learningRateAt(step, options.learningRate);
    await options.optimizer.update(trained, grads, state.optimizer, learningRate);
    updateEma(state.average, trained, step, options.emaDecay);
    state = { ...state, step: step + 1 };
    const durationMs = performance.now() - startedAt;
    const report = { step: state.step, numSteps, metrics, learningRate, gradientNorm, durationMs };
    await logStep(folder, report);
    if (state.step % options.checkpointEverySteps === 0 || state.step === numSteps) {
      await save(state);
      savedStep = state.step;
    }
    await options.onStep?.(report, state);
  }
  if (state.step > savedStep) await save(state);
  return state;
}

/** The result, or null when the signal aborts while it is waited for. */
async function unlessAborted<T>(result: Promise<T>, signal: AbortSignal | undefined): Promise<T | null> {
  try {
    return await result;
  } catch (error) {
    if (signal?.aborted) return null;
    throw error;
  }
}

function startState(initial: Params, trainable: readonly string[], optimizer: Optimizer): TrainingState {
  const params = Object.fromEntries(
    trainable.map((key) => {
      const value = initial[key];
      invariant(value, `no initial value for ${key}`);
      return [key, { ...value, data: value.data.slice() }];
    }),
  );
  const arrays = Object.fromEntries(Object.entries(params).map(([key, { data }]) => [key, data]));
  return { step: 0, params, optimizer: optimizer.init(arrays), average: copyArrays(arrays) };
}

function copyArrays(arrays: Arrays): Arrays {
  return Object.fromEntries(Object.entries(arrays).map(([key, data]) => [key, data.slice()]));
}
