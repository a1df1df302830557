import { stat } from "node:fs/promises";
import { join } from "node:path";
import { openCheckpoint } from "../../runtime/checkpoint.ts";
import { UserError } from "../../tensor/errors.ts";
import { MODEL_JSON } from "../../diffusion/model-folder.ts";
import { readPartsFile } from "../../diffusion/layouts/parts-file.ts";
import {
  findSources,
  type FoundSources,
  MODEL_SOURCES,
  type ModelSource,
  PLACES,
} from "../../diffusion/layouts/places.ts";
import { finetuningOf, findWeights, type Network } from "../../diffusion/layouts/weight-naming.ts";
import { summary } from "../cli/inspect/checkpoint.ts";
import { describeModelFolder } from "../cli/inspect/model-folder.ts";
import { printable } from "../../runtime/quote.ts";
import { textTable } from "../cli/text-table.ts";

/**
 * Says what a model on disk is: parts, where they lie, how they name their weights, in which precision, and what is
 * missing. A complete model is described as a whole too.
 * @throws UserError when the path is missing, or a file in it is malformed
 */
export async function inspectModel(path: string): Promise<string> {
  const found = await stat(path).catch((cause: Error) => {
    throw new UserError(`${path} cannot be read: ${cause.message}`, { cause });
  });
  const isOwn = found.isDirectory() && (await stat(join(path, MODEL_JSON)).catch(() => null)) !== null;
  if (isOwn) return describeModelFolder(path);
  const sources = found.isDirectory() ? await findSources(path) : await readPartsFile(path);
  if (Object.keys(sources).length === 0) return `${path} holds no part of a model`;
  const rows: string[][] = [];
  let isWhole = true;
  for (const source of MODEL_SOURCES) {
    const text = await describeSource(source, sources);
    if (text === null) continue;
    isWhole &&= sources[source] !== undefined;
    rows.push([PLACES[source].words, text]);
  }
  const parts = ["parts of a published model", textTable(rows)].join("\n");
  return isWhole ? `${await describeModelFolder(path)}\n${parts}` : parts;
}

/** What was found of a part, or what to get; null where another part makes it needless. */
async function describeSource(source: ModelSource, sources: FoundSources): Promise<string | null> {
  const path = sources[source];
  if (path === undefined) {
    const hasBase = source === "dit" && sources.base !== undefined && (await holdsBase(sources.base));
    return hasBase ? null : `missing: get ${PLACES[source].wanted}`;
  }
  const shown = printable(path);
  if (source === "tokenizer") return shown;
  const checkpoint = await openCheckpoint(path);
  if (source === "base" || source === "cond") {
    const whole = findWeights("dit", checkpoint);
    const base = whole ? `, with the denoiser's base (${whole.naming})` : "";
    return `${shown}: ${summary(finetuningOf(checkpoint))}${base}`;
  }
  const weights = findWeights(source satisfies Network, checkpoint);
  if (weights === null) return `${shown}: not a ${PLACES[source].words}`;
  return `${shown}: ${summary(weights.checkpoint)}, ${weights.naming}`;
}

async function holdsBase(path: string): Promise<boolean> {
  return findWeights("dit", await openCheckpoint(path)) !== null;
}
