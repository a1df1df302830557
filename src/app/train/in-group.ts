/** Trains in all processes that mpirun has started, or in this one alone. */
import { availableParallelism, cpus, hostname } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { UserError } from "../../tensor/errors.ts";
import { ALONE, type TrainingGroup } from "../../training/group.ts";
import type { MpiGroup } from "../../training/mpi-group.ts";
import { InterruptedError } from "../cli/interrupt.ts";
import { reportFailure } from "../cli/report-error.ts";

/** What mpirun tells the processes that it starts. */
export interface Processes {
  /** Number of this one, from 0. */
  readonly rank: number;
  readonly size: number;
  readonly onThisMachine: number;
}

const NO_OTHERS: Processes = { rank: 0, size: 1, onThisMachine: 1 };

/** What mpiruns of other kinds set. */
const OTHERS = ["PMI_RANK", "MPI_LOCALNRANKS"] as const;

/** @throws UserError when another mpirun than OpenMPI's has started this process */
export function processesOf(env: NodeJS.ProcessEnv): Processes {
  if (isOpenMpi(env)) {
    const number = (name: string, otherwise: number): number =>
      Number(env[`OMPI_COMM_WORLD_${name}`] ?? otherwise);
    return { rank: number("RANK", 0), size: number("SIZE", 1), onThisMachine: number("LOCAL_SIZE", 1) };
  }
  const other = OTHERS.find((name) => env[name] !== undefined);
  if (other === undefined) return NO_OTHERS;
  throw new UserError(
    `this process was started by an mpirun that is not OpenMPI's (${other} is set); start it with OpenMPI's, or by itself`,
  );
}

function isOpenMpi(env: NodeJS.ProcessEnv): boolean {
  return env["OMPI_COMM_WORLD_SIZE"] !== undefined;
}

/** This process' share of the machine's cores; mpirun may have bound it to fewer. */
export function ownCores(env: NodeJS.ProcessEnv = process.env): number {
  const share = Math.floor(cpus().length / processesOf(env).onThisMachine);
  return Math.max(1, Math.min(availableParallelism(), share));
}

/** A fault that all processes have is told by process 0 alone: it has this long to tell it and to end the others. */
const HEAD_START_MS = 1000;

/**
 * Does a training's work in this process as one of its group.
 * @throws Error what the work throws, where the process is alone; in a group a failure is told and ends all processes
 */
export async function inGroup<T>(
  work: (group: TrainingGroup) => Promise<T>,
  env: NodeJS.ProcessEnv = process.env,
): Promise<T> {
  const { rank, size } = processesOf(env);
  if (!isOpenMpi(env)) return work(ALONE);
  let group: MpiGroup | null = null;
  try {
    group = await joinMpi();
    const result = await work(group);
    await group.leave();
    return result;
  } catch (error) {
    if (group !== null && error instanceof InterruptedError) {
      await group.leave();
      throw error;
    }
    if (rank > 0) await sleep(HEAD_START_MS);
    if (group === null) throw error;
    const { text, exitCode } = reportFailure(error);
    const where = rank === 0 ? "" : `process ${rank} of ${size}, on ${hostname()}: `;
    process.stderr.write(`${where}${text}\n`);
    group.abort(exitCode);
    throw error;
  }
}

async function joinMpi(): Promise<MpiGroup> {
  const [{ initMpi }, { MpiGroup: Group }] = await Promise.all([
    import("../../training/mpi.ts"),
    import("../../training/mpi-group.ts"),
  ]);
  return new Group(initMpi());
}
