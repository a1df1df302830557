/** Where an evaluation keeps its finished clips, and what they depend on. */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { MODEL_FILES, MODEL_JSON, TOKENIZER_JSON } from "../../diffusion/model-folder.ts";
import { WorkDirectory, hashFile } from "../../pipeline/work-directory.ts";

/** SHA-256 of all files of a model, in hexadecimal. */
export async function hashModel(model: string): Promise<string> {
  const hash = createHash("sha256");
  for (const name of [MODEL_JSON, TOKENIZER_JSON, ...Object.values(MODEL_FILES)]) {
    hash.update(await hashFile(join(model, name)));
  }
  return hash.digest("hex");
}

/** The folder of one model and setting; those of others stay beside it. */
export async function openWork(
  folder: string,
  settings: Readonly<Record<string, number | string>>,
): Promise<WorkDirectory> {
  const texts = Object.fromEntries(Object.entries(settings).map(([name, value]) => [name, String(value)]));
  const id = createHash("sha256").update(JSON.stringify(texts)).digest("hex").slice(0, 16);
  return WorkDirectory.open(join(folder, id), texts);
}
