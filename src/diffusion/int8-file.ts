/** Files that hold how groups of linear layers are smoothed: what they have in common. */
import { stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { z } from "zod";
import { smoothingKeys } from "../models/layers/int8-linears.ts";
import { type Smoothing } from "../models/layers/smooth-quant.ts";
import { quote } from "../runtime/quote.ts";
import { type Checkpoint, openSafetensors } from "../runtime/safetensors.ts";
import { sampledDigest } from "../runtime/sampled-digest.ts";
import { parseStrictJson } from "../runtime/strict-json.ts";
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

/** The place of the calibration of a model: in its folder, or beside the file that names its parts. */
export async function int8Path(model: string): Promise<string> {
  const isFolder = (await stat(model)).isDirectory();
  return join(isFolder ? model : dirname(model), INT8_FILE);
}

/** What the header of a file of groups says of them. */
export function groupMetadata(groups: readonly Int8Group[], fingerprint: string): Record<string, string> {
  return {
    int8Format: FORMAT,
    fingerprint,
    layers: JSON.stringify(Object.fromEntries(groups.map(({ name, weights }) => [name, weights]))),
  };
}

interface GroupsFile {
  readonly file: Checkpoint;
  readonly groups: readonly Int8Group[];
  readonly fingerprint: string;
}

/**
 * Reads a file of groups.
 * @returns a sentence that says why it cannot be used, where it cannot
 * @throws UserError when it is no safetensors file
 */
export async function readGroups(model: ModelFolder, path: string): Promise<GroupsFile | string> {
  if (!(await stat(path).catch(() => null))) return `${path} is missing`;
  const file = await openSafetensors(path);
  const fingerprint = file.metadata.get("fingerprint");
  if (file.metadata.get("int8Format") !== FORMAT || fingerprint === undefined) {
    return `${path} is no int8 calibration of this version`;
  }
  if (fingerprint !== (await weightsFingerprint(model))) return `${path} was made for other weights`;
  const layers = layersOf(file);
  if (layers === null) return `${path} does not say which layers are int8`;
  const base = await model.open("dit");
  const groups: Int8Group[] = [];
  for (const [name, weights] of Object.entries(layers)) {
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
    if (!isFitting || !isNumbers || !isZeroPoint) return `${path} holds no smoothing for ${quote(name)}`;
    groups.push({ name, weights, mean, factors, zeroPoint });
  }
  return { file, groups, fingerprint };
}

const layersSchema = z.record(z.string(), z.array(z.string()).min(1));

function layersOf({ metadata }: Checkpoint): Record<string, string[]> | null {
  try {
    return layersSchema.parse(parseStrictJson(metadata.get("layers") ?? "", 3));
  } catch {
    return null;
  }
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
