/** A file that says which people to render. */
import { readFile, stat } from "node:fs/promises";
import { parse } from "yaml";
import type { z } from "zod";
import { checkOptions } from "../../pipeline/request.ts";
import { UserError } from "../../tensor/errors.ts";
import { renderRequestSchema } from "./requests.ts";

const recipeSchema = renderRequestSchema.omit({ model: true, out: true, numWorkers: true }).partial();

const MAX_BYTES = 100_000;

/** Reads JSON or YAML. @throws UserError when it cannot be read, or names what no recipe has */
export async function readRecipe(path: string): Promise<z.input<typeof recipeSchema>> {
  const found = await stat(path).catch((cause: Error) => {
    throw new UserError(`cannot read the recipe ${path}: ${cause.message}`, { cause });
  });
  if (!found.isFile() || found.size > MAX_BYTES) {
    throw new UserError(`${path} is no recipe: expected a file of at most ${MAX_BYTES} bytes`);
  }
  let value: unknown;
  try {
    // Every JSON text is YAML.
    value = parse(await readFile(path, "utf8"));
  } catch (cause) {
    throw new UserError(`${path} is neither JSON nor YAML: ${(cause as Error).message}`, { cause });
  }
  checkOptions(recipeSchema, value);
  return value as z.input<typeof recipeSchema>;
}
