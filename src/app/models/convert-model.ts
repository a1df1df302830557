import { stat } from "node:fs/promises";
import { join } from "node:path";
import { parseLoraChoice } from "../../diffusion/lora-choice.ts";
import { MODEL_FILES, openModelFolder, type ModelFolder } from "../../diffusion/model-folder.ts";
import { rewriteModelFolder } from "../../diffusion/rewrite-model.ts";
import { parseStoredPrecision } from "../../diffusion/stored-precision.ts";
import { verifyModel } from "../../diffusion/verify-model.ts";
import { openCheckpoint } from "../../runtime/checkpoint.ts";
import { UserError } from "../../tensor/errors.ts";
import { summary } from "../cli/inspect/checkpoint.ts";
import { formatBytes } from "../cli/quantities.ts";
import { textTable } from "../cli/text-table.ts";
import type { TransferOptions } from "./transfer.ts";

export interface ConvertModelRequest {
  /** A model in any layout. */
  readonly model: string;
  readonly out: string;
  /** f32, f16, bf16, q8 or q4; absent: as stored. */
  readonly precision?: string | undefined;
  /** "FILE" or "FILE:WEIGHT" each. */
  readonly loras: readonly string[];
  readonly isMerged: boolean;
}

/**
 * Writes a model of any layout as one folder of safetensors files, after a look at every tensor's name and shape.
 * @returns what was written
 * @throws UserError when the model is not whole, a LoRA does not fit it, or the folder cannot be written
 */
export async function convertModel(
  { model: path, out, precision, loras, isMerged }: ConvertModelRequest,
  { signal, onProgress }: TransferOptions,
): Promise<string> {
  const stored = precision === undefined ? null : parseStoredPrecision(precision);
  const choices = loras.map(parseLoraChoice);
  const model = await openModelFolder(path);
  if (isMerged && model.loras.length + choices.length === 0) {
    throw new UserError(
      "merge: there is no LoRA to merge; name one with --lora (the phases' own pairs stay pairs, over one base)",
    );
  }
  await checkWhole(model);
  await rewriteModelFolder(model, out, {
    precision: stored,
    loras: choices,
    isMerged,
    signal,
    onProgress: ({ writtenBytes, totalBytes }) =>
      onProgress({ name: "convert", doneBytes: writtenBytes, totalBytes }),
  });
  return describeWritten(out);
}

async function checkWhole(model: ModelFolder): Promise<void> {
  for await (const { part, faults } of verifyModel(model)) {
    const [first, ...rest] = faults;
    if (first === undefined) continue;
    const more = rest.length === 0 ? "" : ` and ${rest.length} more faults`;
    throw new UserError(
      `${model.path} is not whole: ${part}: ${first}${more}; posegen models verify lists them`,
    );
  }
}

async function describeWritten(out: string): Promise<string> {
  const rows: string[][] = [];
  let totalBytes = 0;
  for (const name of Object.values(MODEL_FILES)) {
    const { size } = await stat(join(out, name));
    totalBytes += size;
    rows.push([name, summary(await openCheckpoint(join(out, name)))]);
  }
  const { description } = await openModelFolder(out);
  for (const { file, weight } of description.loras ?? []) {
    totalBytes += (await stat(join(out, file))).size;
    rows.push([file, `LoRA over both phases, weight ${weight}`]);
  }
  return [`${out}, ${formatBytes(totalBytes)}`, textTable(rows), `Use it with --model ${out}`].join("\n");
}
