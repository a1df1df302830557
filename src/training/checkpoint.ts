import { access, mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { openCheckpoint } from "../runtime/checkpoint.ts";
import { writeSafetensors } from "../runtime/safetensors-writer.ts";
import { UserError } from "../tensor/errors.ts";
import { type Tensor } from "../tensor/tensor.ts";
import { type AdamWState, type Arrays } from "./optimizer.ts";

/** All that a training run needs to go on as if it had never stopped. */
export interface TrainingState {
  /** Steps finished. */
  readonly step: number;
  readonly params: Readonly<Record<string, Tensor<"float32">>>;
  readonly optimizer: AdamWState;
  /** Exponential moving average of the parameters: what is shipped. */
  readonly average: Arrays;
}

const PREFIX = "step-";
const GROUPS = ["param", "mean", "square", "average"] as const;

/**
 * Writes `step-NNNNNNNN.safetensors` into a run's folder and removes all but the newest `keep` of them.
 * @param fingerprint hash of the configuration; a resume with another one is refused
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
    tensors[`param.${key}`] = param;
    tensors[`mean.${key}`] = { ...param, data: state.optimizer.mean[key]! };
    tensors[`square.${key}`] = { ...param, data: state.optimizer.square[key]! };
    tensors[`average.${key}`] = { ...param, data: state.average[key]! };
  }
  const name = `${PREFIX}${String(state.step).padStart(8, "0")}.safetensors`;
  await writeSafetensors(join(folder, name), tensors, {
    step: `${state.step}`,
    updates: `${state.optimizer.step}`,
    fingerprint,
  });
  const older = (await listCheckpoints(folder))
    .filter((file) => file < name)
    .slice(0, -(keep - 1) || undefined);
  await Promise.all(older.map((file) => rm(join(folder, file), { force: true })));
}

/** The newest checkpoint of a folder, or null when it has none. Throws when it was made by another configuration. */
export async function loadCheckpoint(folder: string, fingerprint: string): Promise<TrainingState | null> {
  const newest = (await listCheckpoints(folder)).at(-1);
  if (newest === undefined) return null;
  const path = join(folder, newest);
  const file = await openCheckpoint(path);
  const found = file.metadata.get("fingerprint");
  if (found !== fingerprint) {
    throw new UserError(
      `${path} belongs to a run with other settings (fingerprint ${found}, expected ${fingerprint}). ` +
        "Resume with the settings it was started with, or choose another folder.",
    );
  }
  const groups: Record<string, Record<string, Tensor<"float32">>> = {};
  for (const group of GROUPS) groups[group] = {};
  for (const name of file.tensors.keys()) {
    const dot = name.indexOf(".");
    const group = groups[name.slice(0, dot)];
    if (!group)
      throw new UserError(`${path} holds an unknown tensor ${name}; expected a training checkpoint`);
    group[name.slice(dot + 1)] = await file.readFloat32(name);
  }
  const arrays = (group: (typeof GROUPS)[number]): Arrays =>
    Object.fromEntries(Object.entries(groups[group]!).map(([key, value]) => [key, value.data]));
  return {
    step: Number(file.metadata.get("step")),
    params: groups["param"]!,
    optimizer: { step: Number(file.metadata.get("updates")), mean: arrays("mean"), square: arrays("square") },
    average: arrays("average"),
  };
}

async function listCheckpoints(folder: string): Promise<string[]> {
  const exists = await access(folder).then(
    () => true,
    () => false,
  );
  if (!exists) return [];
  const names = await readdir(folder);
  return names.filter((name) => name.startsWith(PREFIX) && name.endsWith(".safetensors")).sort();
}
