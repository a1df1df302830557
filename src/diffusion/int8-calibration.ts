/** What a model needs to run in int8, as a file beside its weights. */
import { stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { z } from "zod";
import {
  int8LinearGroups,
  type LinearGroup,
  smoothingKeys,
  smoothingParams,
} from "../models/layers/int8-linears.ts";
import { type Smoothing } from "../models/layers/smooth-quant.ts";
import { type WanDiTGraph } from "../models/wan-dit/build.ts";
import { quote } from "../runtime/quote.ts";
import { type Checkpoint, openSafetensors } from "../runtime/safetensors.ts";
import { sampledDigest } from "../runtime/sampled-digest.ts";
import { writeSafetensors } from "../runtime/safetensors-writer.ts";
import { parseStrictJson } from "../runtime/strict-json.ts";
import { UserError } from "../tensor/errors.ts";
import { type LoraFile, openLora } from "./lora-file.ts";
import { type ModelFolder } from "./model-folder.ts";

/** Name of the file in the model's folder. */
export const INT8_FILE = "int8.safetensors";

const FORMAT = "3";

/** Linear layers that read the same activations: see `LinearGroup`. */
export interface Int8Group extends Smoothing {
  readonly name: string;
  /** Keys of the weights. */
  readonly weights: readonly string[];
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
  const tensors = new Map(groups.flatMap((group) => [...smoothingParams(group.name, group)]));
  await writeSafetensors(path, tensors, {
    int8Format: FORMAT,
    fingerprint,
    layers: JSON.stringify(Object.fromEntries(groups.map(({ name, weights }) => [name, weights]))),
    velocityError: velocityError.toPrecision(6),
  });
}

/**
 * Reads the calibration of a model.
 * @throws UserError when there is none, or it was made for other weights
 */
export async function readInt8Calibration(model: ModelFolder): Promise<Int8Calibration> {
  const path = await int8Path(model.path);
  const command = `posegen models calibrate ${model.path}`;
  if (!(await stat(path).catch(() => null))) {
    throw new UserError(
      `${model.path} has not been calibrated for int8: ${path} is missing; run \`${command}\` once`,
    );
  }
  const file = await openSafetensors(path);
  const fingerprint = file.metadata.get("fingerprint");
  if (file.metadata.get("int8Format") !== FORMAT || fingerprint === undefined) {
    throw new UserError(`${path} is no int8 calibration of this version; run \`${command}\` again`);
  }
  if (fingerprint !== (await weightsFingerprint(model))) {
    throw new UserError(`${path} was made for other weights; run \`${command}\` again`);
  }
  const base = await model.open("dit");
  const groups: Int8Group[] = [];
  for (const [name, weights] of Object.entries(layersOf(file, command))) {
    const keys = smoothingKeys(name);
    const { data: mean } = await file.readFloat32(keys.mean);
    const { data: factors } = await file.readFloat32(keys.factors);
    const { data: zeroPoints, dtype } = await file.readTensor(keys.zeroPoint);
    const zeroPoint = Number(zeroPoints[0]);
    const isFitting = weights.every((key) => {
      const width = base.tensors.get(key)?.shape[1];
      return width === mean.length && width === factors.length;
    });
    const isNumbers = mean.every(Number.isFinite) && factors.every((x) => x > 0 && x < Infinity);
    const isZeroPoint = dtype === "uint8" && zeroPoints.length === 1 && zeroPoint > 0 && zeroPoint < 255;
    if (!isFitting || !isNumbers || !isZeroPoint) {
      throw new UserError(`${path} holds no smoothing for ${quote(name)}; run \`${command}\` again`);
    }
    groups.push({ name, weights, mean, factors, zeroPoint });
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

/** What tells the denoiser's weights, those of its phases and LoRAs included, from others: see `sampledDigest`. */
export async function weightsFingerprint(model: ModelFolder): Promise<string> {
  const { tensors } = await model.open("dit");
  const loras: { readonly file: LoraFile; readonly weight: number }[] = [];
  for (const phase of ["phase1", "phase2"] as const)
    loras.push({ file: await model.openPhase(phase), weight: 1 });
  for (const { path, weight } of model.loras) loras.push({ file: await openLora(path), weight });
  const entries = [...tensors];
  for (const { file, weight } of loras) {
    const prefix = `lora of weight ${weight}: `;
    for (const [key, { a, b, scale }] of file.pairs) {
      entries.push([`${prefix}${key} A`, a], [`${prefix}${key} B times ${scale}`, b]);
    }
    for (const [key, entry] of file.whole) entries.push([prefix + key, entry]);
    for (const [key, entry] of file.diffs) entries.push([`${prefix}${key} added`, entry]);
  }
  return sampledDigest(entries);
}
