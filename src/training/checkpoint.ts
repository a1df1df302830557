import { mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { exists } from "../files/exists.ts";
import { openCheckpoint } from "../runtime/checkpoint.ts";
import { replacePrefix } from "../runtime/mapped-checkpoint.ts";
import { type Checkpoint, readTensors } from "../runtime/tensor-file.ts";
import { writeSafetensors } from "../runtime/safetensors-writer.ts";
import { UserError } from "../tensor/errors.ts";
import { type Tensor, float32 } from "../tensor/tensor.ts";
import { describeDifference } from "./fingerprint.ts";
import { type Arrays, type OptimizerState } from "./optimizer.ts";

/** All that a training run needs to go on as if it had never stopped. */
export interface TrainingState {
  /** Steps finished. */
  readonly step: number;
  readonly params: Readonly<Record<string, Tensor<"float32">>>;
  readonly optimizer: OptimizerState;
  /** Exponential moving average of the parameters: what is shipped. */
  readonly average: Arrays;
}

/** The averaged parameters of a state. Their arrays change with the next step. */
export function averagedParams({ params, average }: TrainingState): Record<string, Tensor<"float32">> {
  return Object.fromEntries(
    Object.entries(params).map(([key, param]) => [key, { ...param, data: average[key]! }]),
  );
}

const PREFIX = "step-";
const EXTENSION = ".safetensors";
/** First part of a tensor's name: the parameter itself, its average, or a moment of the optimiser. */
const PARAM = "param";
const AVERAGE = "average";

/**
 * Writes `step-NNNNNNNN.safetensors` into a run's folder and removes all but the newest `keep` of them.
 * @param fingerprint JSON of all that determines the run; a resume with another one is refused
 */
export async function saveCheckpoint(
  folder: string,
  state: TrainingState,
  fingerprint: string,
  keep = 2,
): Promise<void> {
  await mkdir(folder, { recursive: true });
  const tensors: Record<string, Tensor> = {};
  for (const [key, param] of Object.entries(state.params)) {
    tensors[`${PARAM}.${key}`] = param;
    tensors[`${AVERAGE}.${key}`] = { ...param, data: state.average[key]! };
  }
  for (const [moment, arrays] of Object.entries(state.optimizer.moments)) {
    for (const [key, data] of Object.entries(arrays)) tensors[`${moment}.${key}`] = float32(data);
  }
  const name = `${PREFIX}${String(state.step).padStart(8, "0")}${EXTENSION}`;
  await writeSafetensors(join(folder, name), tensors, {
    step: `${state.step}`,
    updates: `${state.optimizer.step}`,
    fingerprint,
  });
  const older = (await listCheckpoints(folder)).filter((file) => file < name);
  const surplus = older.slice(0, Math.max(0, older.length - (keep - 1)));
  await Promise.all(surplus.map((file) => rm(join(folder, file), { force: true })));
}

/**
 * The newest checkpoint of a folder, or null when it has none.
 * @throws UserError when it was made under another fingerprint; where both are JSON it names what differs
 */
export async function loadCheckpoint(folder: string, fingerprint: string): Promise<TrainingState | null> {
  const file = await openNewest(folder);
  if (!file) return null;
  const { path } = file;
  const found = file.metadata.get("fingerprint") ?? "";
  if (found !== fingerprint) {
    throw new UserError(
      `${path} belongs to a run with other settings (${describeDifference(found, fingerprint)}). ` +
        "Go on with the settings it was started with, or choose another folder.",
    );
  }
  const groups: Record<string, Record<string, Tensor<"float32">>> = {};
  for (const name of file.tensors.keys()) {
    const dot = name.indexOf(".");
    const group = (groups[name.slice(0, dot)] ??= {});
    group[name.slice(dot + 1)] = await file.readFloat32(name);
  }
  const { [PARAM]: params, [AVERAGE]: average, ...moments } = groups;
  if (!params || !average)
    throw new UserError(`${path} is not a training checkpoint: it holds no parameters`);
  return {
    step: Number(file.metadata.get("step")),
    params,
    optimizer: {
      step: Number(file.metadata.get("updates")),
      moments: Object.fromEntries(
        Object.entries(moments).map(([moment, group]) => [moment, arraysOf(group)]),
      ),
    },
    average: arraysOf(average),
  };
}

/** How far a run has come: the step of its newest checkpoint, or null when it has none. */
export async function newestStep(folder: string): Promise<number | null> {
  const newest = (await listCheckpoints(folder)).at(-1);
  return newest === undefined ? null : Number(newest.slice(PREFIX.length, -EXTENSION.length));
}

/**
 * Averaged weights of a run's newest checkpoint, by their keys in the training graph, with no bytes read.
 * @throws UserError when the folder has no checkpoint
 */
export async function openAverages(folder: string): Promise<Checkpoint> {
  const file = await openNewest(folder);
  if (!file) throw new UserError(`${folder} holds no checkpoint; train there first, or name another folder`);
  return replacePrefix(file, `${AVERAGE}.`, "");
}

/** The same in memory. */
export async function loadAverages(folder: string): Promise<Record<string, Tensor<"float32">>> {
  return readTensors(await openAverages(folder));
}

async function openNewest(folder: string): Promise<Checkpoint | null> {
  const newest = (await listCheckpoints(folder)).at(-1);
  return newest === undefined ? null : openCheckpoint(join(folder, newest));
}

function arraysOf(tensors: Readonly<Record<string, Tensor<"float32">>>): Arrays {
  return Object.fromEntries(Object.entries(tensors).map(([key, { data }]) => [key, data]));
}

async function listCheckpoints(folder: string): Promise<string[]> {
  if (!(await exists(folder))) return [];
  const names = await readdir(folder);
  return names.filter((name) => name.startsWith(PREFIX) && name.endsWith(EXTENSION)).sort();
}
