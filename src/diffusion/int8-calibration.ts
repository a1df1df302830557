/** What a model needs to run in int8, as a file beside its weights. */
import { createHash } from "node:crypto";
import { stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { z } from "zod";
import { int8LinearGroups, type LinearGroup, smoothingKey } from "../models/layers/int8-linears.ts";
import { type WanDiTGraph } from "../models/wan-dit/build.ts";
import { quote } from "../runtime/quote.ts";
import { type Checkpoint, openSafetensors } from "../runtime/safetensors.ts";
import { writeSafetensors } from "../runtime/safetensors-writer.ts";
import { parseStrictJson } from "../runtime/strict-json.ts";
import { UserError } from "../tensor/errors.ts";
import { float32 } from "../tensor/tensor.ts";

/** Name of the file in the model's folder. */
export const INT8_FILE = "int8.safetensors";

const FORMAT = "1";

/** Linear layers that read the same activations: see `LinearGroup`. */
export interface Int8Group {
  readonly name: string;
  /** Keys of the weights. */
  readonly weights: readonly string[];
  /** What activations are multiplied by, [in]. */
  readonly factors: Float32Array;
}

/** Which linear layers of a denoiser are computed in int8, and how their activations are smoothed. */
export interface Int8Calibration {
  /** Layers left out stay in float32. */
  readonly groups: readonly Int8Group[];
  /** Error of the velocity against float32 in the calibration, relative to its root mean square. */
  readonly velocityError: number;
  /** What tells these weights from others: see `weightsFingerprint`. */
  readonly fingerprint: string;
}

/** The place of the calibration of a model: in its folder, or beside the file that names its parts. */
export async function int8Path(model: string): Promise<string> {
  const isFolder = (await stat(model)).isDirectory();
  return join(isFolder ? model : dirname(model), INT8_FILE);
}

/** Writes a calibration atomically. @throws UserError when the file cannot be written */
export async function writeInt8Calibration(
  path: string,
  { groups, velocityError, fingerprint }: Int8Calibration,
): Promise<void> {
  const tensors = new Map(groups.map(({ name, factors }) => [smoothingKey(name), float32(factors)]));
  await writeSafetensors(path, tensors, {
    int8Format: FORMAT,
    fingerprint,
    layers: JSON.stringify(Object.fromEntries(groups.map(({ name, weights }) => [name, weights]))),
    velocityError: velocityError.toPrecision(6),
  });
}

/**
 * Reads the calibration of a model.
 * @param base the denoiser's weights
 * @throws UserError when there is none, or it was made for other weights
 */
export async function readInt8Calibration(model: string, base: Checkpoint): Promise<Int8Calibration> {
  const path = await int8Path(model);
  const command = `posegen models calibrate ${model}`;
  if (!(await stat(path).catch(() => null))) {
    throw new UserError(
      `${model} has not been calibrated for int8: ${path} is missing; run \`${command}\` once`,
    );
  }
  const file = await openSafetensors(path);
  const fingerprint = file.metadata.get("fingerprint");
  if (file.metadata.get("int8Format") !== FORMAT || fingerprint === undefined) {
    throw new UserError(`${path} is no int8 calibration of this version; run \`${command}\` again`);
  }
  if (fingerprint !== (await weightsFingerprint(base))) {
    throw new UserError(`${path} was made for other weights; run \`${command}\` again`);
  }
  const groups: Int8Group[] = [];
  for (const [name, weights] of Object.entries(layersOf(file, command))) {
    const { data: factors } = await file.readFloat32(smoothingKey(name));
    const isFitting = weights.every((key) => base.tensors.get(key)?.shape[1] === factors.length);
    if (!isFitting || factors.some((x) => !(x > 0 && x < Infinity))) {
      throw new UserError(`${path} holds no smoothing for ${quote(name)}; run \`${command}\` again`);
    }
    groups.push({ name, weights, factors });
  }
  return { groups, fingerprint, velocityError: Number(file.metadata.get("velocityError")) };
}

const layersSchema = z.record(z.string(), z.array(z.string()).min(1));

function layersOf({ path, metadata }: Checkpoint, command: string): Record<string, string[]> {
  try {
    return layersSchema.parse(parseStrictJson(metadata.get("layers") ?? "", 3));
  } catch (cause) {
    throw new UserError(`${path} does not say which layers are int8; run \`${command}\` again`, { cause });
  }
}

/**
 * The groups of a graph that a calibration names.
 * @throws UserError when the calibration groups layers otherwise than the graph
 */
export function int8Groups(graph: WanDiTGraph, { groups }: Int8Calibration): LinearGroup[] {
  const layers = new Map(groups.map(({ name, weights }) => [name, weights.join()]));
  const found = int8LinearGroups(graph).filter(({ name }) => layers.has(name));
  const other = found.find(({ name, weights }) => layers.get(name) !== weights.join());
  if (other)
    throw new UserError(`the int8 calibration does not fit the layers of ${other.name}; calibrate again`);
  return found;
}

/** Digest of the modulation tables: small tensors that every training of the base changes. */
export async function weightsFingerprint(base: Checkpoint): Promise<string> {
  const hash = createHash("sha256");
  for (const key of [...base.tensors.keys()].filter((name) => name.endsWith("modulation")).sort()) {
    const { data } = await base.readFloat32(key);
    hash.update(key).update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  return hash.digest("hex");
}
