import { appendFile, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { gradients } from "../graph/gradients.ts";
import { type Graph, type Value } from "../graph/graph.ts";
import { serialize } from "../graph/serialize.ts";
import { verify } from "../graph/verify.ts";
import { Engine } from "../runtime/engine.ts";
import { invariant } from "../tensor/errors.ts";
import { type Tensor } from "../tensor/tensor.ts";
import { loadCheckpoint, saveCheckpoint, type TrainingState } from "./checkpoint.ts";
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
 * Adds to a graph with a scalar `loss` output the gradients of the trainable parameters as outputs, and
 * prepares it to run. All parameters, frozen ones too, become inputs.
 */
export async function compileTrainStep(
  graph: Graph,
  loss: Value,
  isTrainable: (key: string) => boolean,
  threads: number,
): Promise<TrainStep> {
  const trainable = [...graph.params.values()].filter((param) => isTrainable(param.name));
  gradients(loss, trainable).forEach((gradient, i) => graph.output(GRADIENT + trainable[i]!.name, gradient));
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
  /** Hash of everything that determines the run; a resume under another one is refused. */
  readonly fingerprint: string;
  readonly learningRate: LearningRateSchedule;
  readonly optimizer: Optimizer;
  readonly maxGradientNorm: number;
  readonly emaDecay: number;
  readonly checkpointEverySteps: number;
  readonly signal?: AbortSignal;
  /** Called after every step. */
  readonly onStep?: (step: StepReport) => void;
  /** Called after each checkpoint with the averaged weights, e.g. for samples and held-out figures. */
  readonly onCheckpoint?: (state: TrainingState) => Promise<void>;
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
 * function of the step alone, so a resumed run repeats the uninterrupted one bit for bit.
 * @param initial all parameters of the step, frozen ones included
 * @returns the final state
 */
export async function train(
  stepFor: (step: number) => Promise<TrainStep>,
  initial: Params,
  batchFor: (step: number) => Promise<Batch>,
  options: TrainOptions,
): Promise<TrainingState> {
  await mkdir(options.folder, { recursive: true });
  const { numSteps } = options.learningRate;
  const first = await stepFor(0);
  let state = await loadCheckpoint(options.folder, options.fingerprint);
  state ??= startState(initial, first.trainable, options.optimizer);
  const frozen = Object.fromEntries(Object.entries(initial).filter(([key]) => !state!.params[key]));
  const weights: Params = { ...frozen, ...state.params };
  const trained: Arrays = Object.fromEntries(
    Object.entries(state.params).map(([key, { data }]) => [key, data]),
  );
  for (let step = state.step; step < numSteps; step++) {
    if (options.signal?.aborted) break;
    const startedAt = performance.now();
    const trainStep = await stepFor(step);
    const { metrics, gradients: grads } = await trainStep.run(weights, await batchFor(step));
    invariant(Number.isFinite(metrics["loss"]), `the loss of step ${step} is ${metrics["loss"]}`);
    const gradientNorm = clipGradients(grads, options.maxGradientNorm);
    const learningRate = learningRateAt(step, options.learningRate);
    await options.optimizer.update(trained, grads, state.optimizer, learningRate);
    updateEma(state.average, trained, step, options.emaDecay);
    state = { ...state, step: step + 1 };
    const report = {
      step: step + 1,
      numSteps,
      metrics,
      learningRate,
      gradientNorm,
      durationMs: performance.now() - startedAt,
    };
    await appendFile(join(options.folder, "log.jsonl"), `${JSON.stringify(report)}\n`);
    options.onStep?.(report);
    if (state.step % options.checkpointEverySteps === 0 || state.step === numSteps) {
      await saveCheckpoint(options.folder, state, options.fingerprint);
      await options.onCheckpoint?.(state);
    }
  }
  if (options.signal?.aborted) await saveCheckpoint(options.folder, state, options.fingerprint);
  return state;
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
