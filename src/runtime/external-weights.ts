/** Weights left in their files: initializers that point into a checkpoint, mapped into memory by the engine. */
import { realpath } from "node:fs/promises";
import { dirname, relative, sep } from "node:path";
import type { ExternalData } from "../graph/index.ts";
import { UserError } from "../tensor/errors.ts";
import type { TensorEntry } from "./safetensors.ts";

export interface ExternalWeights {
  /** What `serialize` takes: where each weight lies, by key. */
  readonly locations: ReadonlyMap<string, ExternalData>;
  /** The folder that holds all the files, for the option of the same name of a runner. */
  readonly externalFolder: string;
}

/**
 * Locates weights for the engine, which follows no link out of the folder it is given: links are resolved here,
 * and the folder is the innermost one that holds every file.
 * @throws UserError when a file is gone or the files share no folder
 */
export async function locateWeights(entries: ReadonlyMap<string, TensorEntry>): Promise<ExternalWeights> {
  const paths = new Map<string, string>();
  for (const { file } of entries.values()) {
    if (paths.has(file)) continue;
    const path = await realpath(file).catch((cause: Error) => {
      throw new UserError(`cannot open ${file}: ${cause.message}`, { cause });
    });
    paths.set(file, path);
  }
  const externalFolder = commonFolder([...paths.values()]);
  const locations = new Map<string, ExternalData>();
  for (const [key, { file, byteOffset, byteLength }] of entries) {
    const location = relative(externalFolder, paths.get(file)!).split(sep).join("/");
    locations.set(key, { location, byteOffset, byteLength });
  }
  return { locations, externalFolder };
}

function commonFolder(paths: readonly string[]): string {
  let folder = dirname(paths[0]!);
  for (const path of paths) {
    while (!path.startsWith(folder.endsWith(sep) ? folder : folder + sep)) {
      const parent = dirname(folder);
      if (parent === folder) throw new UserError(`${paths[0]} and ${path} are on different drives`);
      folder = parent;
    }
  }
  return folder;
}
