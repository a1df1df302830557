import { dirname, resolve } from "node:path";
import { z } from "zod";
import { readJson } from "../../runtime/read-json.ts";
import { describeFault } from "../../runtime/strict-json.ts";
import { UserError } from "../../tensor/errors.ts";
import { findSources, MODEL_SOURCES, type FoundSources, type ModelSource } from "./places.ts";

const schema = z.strictObject({
  /** Where parts are looked for that are not named. */
  folder: z.string().min(1).optional(),
  parts: z
    .partialRecord(z.enum(MODEL_SOURCES as [ModelSource, ...ModelSource[]]), z.string().min(1))
    .optional(),
});

/**
 * Reads a JSON file that names the parts of a model:
 * `{"folder": "Wan2.1-I2V-14B-720P", "parts": {"base": "PoseGen/720p-81f-base", "vae": "wan_2.1_vae.safetensors"}}`.
 * Paths are relative to the file; parts that are not named are looked for in the folder.
 * @throws UserError when the file is malformed
 */
export async function readPartsFile(path: string): Promise<FoundSources> {
  const result = schema.safeParse(await readJson(path, { bytes: 1 << 20, depth: 8 }));
  if (!result.success) {
    throw new UserError(
      `${path} does not name the parts of a model: ${describeFault(result.error)}; ` +
        `expected {"folder": …, "parts": {…}} with any of ${MODEL_SOURCES.join(", ")}`,
    );
  }
  const { folder, parts = {} } = result.data;
  const place = (name: string): string => resolve(dirname(path), name);
  const found =
    folder === undefined ? {} : await findSources(place(folder)).catch(missingFolder(path, folder));
  const named = Object.entries(parts).map(([source, name]) => [source, place(name)]);
  return { ...found, ...(Object.fromEntries(named) as FoundSources) };
}

function missingFolder(path: string, folder: string) {
  return (cause: Error): never => {
    throw new UserError(`${path} names the folder ${folder}, which cannot be read: ${cause.message}`, {
      cause,
    });
  };
}
