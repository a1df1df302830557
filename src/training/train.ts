import { gradients } from "../graph/gradients.ts";
import { type Graph, type Value } from "../graph/graph.ts";
import { serialize } from "../graph/serialize.ts";
import { verify } from "../graph/verify.ts";
import { Engine } from "../runtime/engine.ts";
import { UserError, invariant } from "../tensor/errors.ts";
import { type Tensor } from "../tensor/tensor.ts";
import { accumulate } from "./accumulate.ts";
import { type TrainingState } from "./checkpoint.ts";
import {
  ALONE,
  type GroupTimes,
  type TrainingGroup,
  anyOf,
  checkAgreement,
  hashTensors,
  hashText,
  meanOver,
  ownPasses,
  shareState,
} from "./group.ts";
import { RunRecord } from "./run-record.ts";
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
  /** The processes that train together, this one among them; by default it is alone. Process 0 writes the folder. */
  readonly group?: TrainingGroup;
  readonly checkpointEverySteps: number;
  /** Checkpoints kept, 2 by default. */
  readonly keepCheckpoints?: number;
  readonly signal?: AbortSignal;
  /** Called in process 0: once before the first step, with the state it starts from: what follows will be trained for sure. */
  readonly onStart?: (state: TrainingState) => void | Promise<void>;
  /** Called in process 0 after every step and its checkpoint; the next step waits. The state's arrays change with the next step. */
  readonly onStep?: (report: StepReport, state: TrainingState) => void | Promise<void>;
}

export interface StepReport extends Partial<GroupTimes> {
  readonly step: number;
  readonly numSteps: number;
  readonly metrics: Readonly<Record<string, number>>;
  readonly learningRate: number;
  readonly gradientNorm: number;
  readonly durationMs: number;
}

/**
 * Trains until `learningRate.numSteps`, resuming from the folder's newest checkpoint. The clips of a step are a function
 * of the step alone, so a resumed run repeats the uninterrupted one bit for bit. When the signal aborts in any process,
 * all of them finish the running step, and a checkpoint is written.
 *
 * Processes of a group start from the state of process 0, and every step takes the mean of all gradients, so all make
 * the same steps.
 * @param initial all parameters of the step, frozen ones included
 * @param passesFor the batches of a step, in all processes together, whose mean is the step's: equally many for each
 * @returns the final state
 * @throws UserError when processes were started with different settings, weights or clips, and when training diverges
 */
export async function train(
  stepFor: (step: number) => Promise<TrainStep>,
  initial: Params,
  passesFor: (step: number) => Promise<readonly Batch[]>,
  options: TrainOptions,
): Promise<TrainingState> {
  const { signal, group = ALONE } = options;
  const { numSteps } = options.learningRate;
  const begun = await begin(await stepFor(0), initial, options);
  const { record, frozen } = begun;
  let { state } = begun;
  const weights: Params = { ...frozen, ...state.params };
  const trained: Arrays = Object.fromEntries(
    Object.entries(state.params).map(([key, { data }]) => [key, data]),
  );
  const firstStep = state.step;
  if (record) await options.onStart?.(state);
  for (let step = firstStep; step < numSteps; step++) {
    const startedAt = performance.now();
    group.takeTimes();
    const passes = signal?.aborted ? null : await unlessAborted(passesFor(step), signal);
    if ((await anyOf(group, passes === null)) || passes === null) break;
    if (step === firstStep && group.size > 1) {
      await checkAgreement(group, { "clips in the first step": hashText(passes.map(hashTensors).join()) });
    }
    const share = await accumulate(await stepFor(step), weights, ownPasses(passes, group));
    const { metrics, gradients: grads } = await meanOver(group, share);
    const gradientNorm = clipGradients(grads, options.maxGradientNorm);
    checkFinite(step + 1, metrics["loss"]!, gradientNorm);
    const learningRate = learningRateAt(step, options.learningRate);
    await options.optimizer.update(trained, grads, state.optimizer, learningRate);
    updateEma(state.average, trained, step, options.emaDecay);
    state = { ...state, step: step + 1 };
    const durationMs = performance.now() - startedAt;
    const report: StepReport = {
      step: state.step,
      numSteps,
      metrics,
      learningRate,
      gradientNorm,
      durationMs,
      ...(group.size > 1 && group.takeTimes()),
    };
    await record?.add(report, state);
    if (record) await options.onStep?.(report, state);
  }
  await record?.save(state);
  return state;
}

/** The state to go on from, the same in all processes, and what none of them trains. */
async function begin(
  { trainable }: TrainStep,
  initial: Params,
  options: TrainOptions,
): Promise<{ readonly record: RunRecord | null; readonly state: TrainingState; readonly frozen: Params }> {
  const { fingerprint, group = ALONE } = options;
  const opened = group.rank === 0 ? await RunRecord.open(options) : null;
  const own = opened?.state ?? startState(initial, trainable, options.optimizer);
  const frozen = Object.fromEntries(Object.entries(initial).filter(([key]) => !own.params[key]));
  if (group.size > 1) {
    await checkAgreement(group, { settings: hashText(fingerprint), "base weights": hashTensors(frozen) });
  }
  return { record: opened?.record ?? null, state: await shareState(group, own), frozen };
}

/** Before weights are changed, and so before a checkpoint could hold them: the newest one stays usable. */
function checkFinite(step: number, loss: number, gradientNorm: number): void {
  if (Number.isFinite(loss) && Number.isFinite(gradientNorm)) return;
  throw new UserError(
    `training has diverged: step ${step} has loss ${loss} and gradient norm ${gradientNorm}. Start again in another ` +
      "folder with a lower learningRate.peak, a longer learningRate.warmup or a lower maxGradientNorm",
  );
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
