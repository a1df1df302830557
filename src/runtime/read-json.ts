import { readFile, stat } from "node:fs/promises";
import { UserError } from "../tensor/errors.ts";
import { describeFault, parseStrictJson } from "./strict-json.ts";

export interface JsonLimits {
  readonly bytes: number;
  readonly depth: number;
}

/**
 * Reads a JSON file that may come from a stranger.
 * @throws UserError of one line when it is missing, too large, or no JSON
 */
export async function readJson(path: string, { bytes, depth }: JsonLimits): Promise<unknown> {
  const found = await stat(path).catch((cause: Error) => {
    throw new UserError(`cannot open ${path}: ${cause.message}`, { cause });
  });
  if (!found.isFile() || found.size > bytes) {
    throw new UserError(`${path} is no file of at most ${bytes} bytes`);
  }
  try {
    return parseStrictJson(await readFile(path, "utf8"), depth);
  } catch (cause) {
    throw new UserError(`${path} is not JSON: ${describeFault(cause)}`, { cause });
  }
}
