import { createHash } from "node:crypto";
import { UserError, invariant } from "../tensor/errors.ts";
import { type TrainingState } from "./checkpoint.ts";
import { type Batch, type Params, type StepResult } from "./train.ts";

/** Processes that train one model together: each computes its share of every step's clips. */
export interface TrainingGroup {
  /** Number of this process, from 0. */
  readonly rank: number;
  readonly size: number;
  /** Replaces values by their sums over all processes; all get the same bytes. */
  sum(values: Float32Array): Promise<void>;
  /** Replaces values by those of process 0. */
  share(values: Float32Array): Promise<void>;
  /** What exchanges have taken since the last call. */
  takeTimes(): GroupTimes;
}

export interface GroupTimes {
  /** Until the last process had arrived as well. */
  readonly waitMs: number;
  /** From then on. */
  readonly exchangeMs: number;
}

/** A process that trains by itself. */
export const ALONE: TrainingGroup = {
  rank: 0,
  size: 1,
  sum: async () => {},
  share: async () => {},
  takeTimes: () => ({ waitMs: 0, exchangeMs: 0 }),
};

/** How the clips of a step pass. */
export interface Passes {
  /** Clips that pass at the same time. */
  readonly batch: number;
  /** Passes of all processes together, each process as many as any other. */
  readonly count: number;
}

/**
 * Shares a step's clips out evenly. A pass has as many of them as fit, at most `batch`.
 * @param clips `batch` clips `accumulate` times: the step of one process alone
 * @throws UserError when the clips cannot be shared out evenly
 */
export function sharePasses(
  clips: { readonly batch: number; readonly accumulate: number },
  size: number,
): Passes {
  const total = clips.batch * clips.accumulate;
  if (total % size !== 0) {
    throw new UserError(
      `a step has ${total} clips (batch ${clips.batch}, accumulate ${clips.accumulate}), which ${size} processes cannot ` +
        `share out evenly; expected a multiple of ${size}`,
    );
  }
  const own = total / size;
  let batch = Math.min(clips.batch, own);
  while (own % batch !== 0) batch--;
  return { batch, count: total / batch };
}

/** The passes of one process, of those of all. */
export function ownPasses<T>(passes: readonly T[], { rank, size }: TrainingGroup): readonly T[] {
  invariant(passes.length % size === 0, `${passes.length} passes for ${size} processes`);
  const count = passes.length / size;
  return passes.slice(rank * count, (rank + 1) * count);
}

/** Whether something holds in any process. */
export async function anyOf(group: TrainingGroup, holds: boolean): Promise<boolean> {
  const flag = Float32Array.of(holds ? 1 : 0);
  await group.sum(flag);
  return flag[0]! > 0;
}

/** Loss and gradients of a step from those of every process' share: their means, in the arrays that were given. */
export async function meanOver(group: TrainingGroup, result: StepResult): Promise<StepResult> {
  if (group.size === 1) return result;
  const names = Object.keys(result.metrics).sort();
  const metrics = Float32Array.from(names, (name) => result.metrics[name]!);
  const arrays = [metrics, ...sorted(result.gradients)];
  await inBuckets(arrays, (bucket) => group.sum(bucket));
  for (const array of arrays) for (let i = 0; i < array.length; i++) array[i]! /= group.size;
  return { ...result, metrics: Object.fromEntries(names.map((name, i) => [name, metrics[i]!])) };
}

/** The largest whole number up to which float32 has all of them. */
const MAX_COUNT = 2 ** 24;

/** The state of process 0. @param state of the same parameters; its arrays are overwritten */
export async function shareState(group: TrainingGroup, state: TrainingState): Promise<TrainingState> {
  if (group.size === 1) return state;
  const { params, average, optimizer } = state;
  const counts = Float32Array.of(state.step, optimizer.step);
  invariant(Math.max(...counts) < MAX_COUNT, `${state.step} steps cannot be told to other processes`);
  const values = Object.fromEntries(Object.entries(params).map(([key, { data }]) => [key, data]));
  const moments = Object.keys(optimizer.moments).sort();
  const groups = [values, average, ...moments.map((name) => optimizer.moments[name]!)];
  await inBuckets([counts, ...groups.flatMap(sorted)], (bucket) => group.share(bucket));
  return { ...state, step: counts[0]!, optimizer: { ...optimizer, step: counts[1]! } };
}

/**
 * Checks that all processes were given the same.
 * @param facts hashes, by words for a message
 * @throws UserError in processes that have another fact than process 0
 */
export async function checkAgreement(
  group: TrainingGroup,
  facts: Readonly<Record<string, string>>,
): Promise<void> {
  if (group.size === 1) return;
  for (const [what, fact] of Object.entries(facts)) {
    const own = Float32Array.from(Buffer.from(fact, "hex"));
    const first = own.slice();
    await group.share(first);
    if (own.every((byte, i) => byte === first[i])) continue;
    throw new UserError(
      `process ${group.rank} has other ${what} than process 0; give all hosts the same files and settings`,
    );
  }
}

/** A hash of text, as hexadecimal digits. */
export function hashText(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

/** A hash of tensors with their names. */
export function hashTensors(tensors: Batch | Params): string {
  const hash = createHash("sha256");
  for (const name of Object.keys(tensors).sort()) {
    const { shape, data } = tensors[name]!;
    hash.update(`${name} ${shape}`).update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  return hash.digest("hex");
}

/** Elements of an exchange, 16 MiB: small arrays travel together, large ones in parts. */
const BUCKET = 1 << 22;

/** Passes all elements of arrays through an exchange, in their order. */
async function inBuckets(
  arrays: readonly Float32Array[],
  exchange: (bucket: Float32Array) => Promise<void>,
): Promise<void> {
  const total = arrays.reduce((sum, { length }) => sum + length, 0);
  const bucket = new Float32Array(Math.min(total, BUCKET));
  let parts: Float32Array[] = [];
  let filled = 0;
  const flush = async (): Promise<void> => {
    await exchange(bucket.subarray(0, filled));
    let at = 0;
    for (const part of parts) {
      part.set(bucket.subarray(at, at + part.length));
      at += part.length;
    }
    [parts, filled] = [[], 0];
  };
  for (const array of arrays) {
    for (let from = 0; from < array.length;) {
      const part = array.subarray(from, from + bucket.length - filled);
      bucket.set(part, filled);
      parts.push(part);
      filled += part.length;
      from += part.length;
      if (filled === bucket.length) await flush();
    }
  }
  if (filled > 0) await flush();
}

/** Arrays in the order of their keys, which is the same in every process. */
function sorted(arrays: Readonly<Record<string, Float32Array>>): Float32Array[] {
  return Object.keys(arrays)
    .sort()
    .map((key) => arrays[key]!);
}
