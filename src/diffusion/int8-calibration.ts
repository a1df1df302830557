/** What a model needs to run in int8, as a file beside its weights. */
import { stat } from "node:fs/promises";
import { int8LinearGroups, type LinearGroup, smoothingParams } from "../models/layers/int8-linears.ts";
import { type WanDiTGraph } from "../models/wan-dit/build.ts";
import { type Checkpoint } from "../runtime/safetensors.ts";
import { MAP_BEYOND_BYTES, staysInFiles } from "../runtime/shared-weights.ts";
import { writeSafetensors } from "../runtime/safetensors-writer.ts";
import { UserError } from "../tensor/errors.ts";
import { type Int8Group, groupMetadata, int8Path, readGroups } from "./int8-file.ts";
import { openInt8Weights } from "./int8-weights.ts";
import { type ModelFolder } from "./model-folder.ts";

/** Which linear layers of a denoiser are computed in int8, and how their activations are smoothed. */
export interface Int8Calibration {
  /** Layers left out stay in float32. */
  readonly groups: readonly Int8Group[];
  /** Error of the velocity against float32 in the calibration, relative to its root mean square. */
  readonly velocityError: number;
  /** What tells these weights from others: see `weightsFingerprint`. */
  readonly fingerprint: string;
  /** The weights in int8, of a denoiser that stays in its files; null where they are rounded in memory. */
  readonly weights: Checkpoint | null;
}

/** What of a calibration the denoiser's graphs and weights depend on. */
export type Int8Layers = Pick<Int8Calibration, "groups" | "weights">;

/** The groups alone: all that the cost of a graph depends on. */
export interface Int8Choice {
  readonly groups: readonly Pick<Int8Group, "name" | "weights">[];
}

/** Writes a calibration atomically. @throws UserError when the file cannot be written */
export async function writeInt8Calibration(
  path: string,
  { groups, velocityError, fingerprint }: Omit<Int8Calibration, "weights">,
): Promise<void> {
  const tensors = new Map(groups.flatMap((group) => [...smoothingParams(group.name, group)]));
  await writeSafetensors(path, tensors, {
    ...groupMetadata(groups, fingerprint),
    velocityError: velocityError.toPrecision(6),
  });
}

/**
 * Reads the calibration of a model.
 * @param mapBeyondBytes denoisers of more bytes as float32 have their int8 weights in a file
 * @throws UserError when there is none, or it was made for other weights
 */
export async function readInt8Calibration(
  model: ModelFolder,
  mapBeyondBytes = MAP_BEYOND_BYTES,
): Promise<Int8Calibration> {
  const path = await int8Path(model.path);
  const command = `run \`posegen models calibrate ${model.path}\``;
  if (!(await stat(path).catch(() => null))) {
    throw new UserError(
      `${model.path} has not been calibrated for int8: ${path} is missing; ${command} once`,
    );
  }
  const read = await readGroups(model, path);
  if (typeof read === "string") throw new UserError(`${read}; ${command} again`);
  const { file, groups, fingerprint } = read;
  const isInFile = staysInFiles(await model.open("dit"), mapBeyondBytes);
  const weights = isInFile ? await openInt8Weights(model, groups) : null;
  return { groups, fingerprint, weights, velocityError: Number(file.metadata.get("velocityError")) };
}

/**
 * The groups of a graph that a calibration names.
 * @throws UserError when the calibration groups layers otherwise than the graph
 */
export function int8Groups(graph: WanDiTGraph, { groups }: Int8Choice): LinearGroup[] {
  const layers = new Map(groups.map(({ name, weights }) => [name, weights.join()]));
  const found = int8LinearGroups(graph).filter(({ name }) => layers.has(name));
  const other = found.find(({ name, weights }) => layers.get(name) !== weights.join());
  if (other)
    throw new UserError(`the int8 calibration does not fit the layers of ${other.name}; calibrate again`);
  return found;
}
