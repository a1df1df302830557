/** The folder of a training: what it was started with, and who works in it. */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { stringify } from "yaml";
import { writeFileAtomically } from "../../files/atomic-file.ts";
import { exists } from "../../files/exists.ts";
import { takeLock } from "../../pipeline/lock.ts";
import { UserError } from "../../tensor/errors.ts";
import { newestStep } from "../../training/checkpoint.ts";
import { TRAINING_SCHEMAS, type TrainingConfig, readTrainingConfig } from "./config.ts";
import { schemaKeys } from "./schema-keys.ts";

/** The settings of the run, with all defaults, as the last start had them. */
const CONFIG_FILE = "config.yaml";

/**
 * Makes a run's folder, or goes on in it.
 * @param resume whether a run that is already there may go on
 * @returns a function that lets others work there
 * @throws UserError when somebody else works there, or a run is there that may not go on
 */
export async function openRunFolder(config: TrainingConfig, resume: boolean): Promise<() => Promise<void>> {
  const { out } = config;
  await mkdir(out, { recursive: true });
  const step = await newestStep(out);
  if (step !== null && !resume) {
    throw new UserError(
      `${out} holds a run of ${step} steps; let it go on (without --no-resume), or choose another folder with ` +
        "--set out=FOLDER",
    );
  }
  return takeLock(join(out, "lock"));
}

/** Writes the settings beside the checkpoints; to be called once it is known that they fit those. */
export async function writeRunConfig(config: TrainingConfig): Promise<void> {
  await writeFileAtomically(join(config.out, CONFIG_FILE), (handle) => handle.writeFile(stringify(config)));
}

/** The settings of a run. @throws UserError when the folder is none of a training */
export async function readRunConfig(folder: string): Promise<TrainingConfig> {
  const path = join(folder, CONFIG_FILE);
  if (!(await exists(path))) {
    throw new UserError(
      `${folder} is no folder of a training: it has no ${CONFIG_FILE}, which holds the settings it was made with`,
    );
  }
  return readTrainingConfig(path);
}

/**
 * Everything that determines a run's weights, as JSON: all keys but the free ones, and further facts.
 * @param facts e.g. how far a run had come whose weights this one starts from
 */
export function runFingerprint(
  config: TrainingConfig,
  facts: Readonly<Record<string, number | string | null>> = {},
): string {
  const free = [...schemaKeys(TRAINING_SCHEMAS[config.kind])].filter(({ isFree }) => isFree);
  const settings = structuredClone(config) as Record<string, unknown>;
  for (const { path } of free) removeAt(settings, path.split("."));
  return JSON.stringify({ ...settings, ...facts });
}

function removeAt(settings: Record<string, unknown>, [name, ...rest]: readonly string[]): void {
  if (rest.length === 0) delete settings[name!];
  else if (typeof settings[name!] === "object" && settings[name!] !== null)
    removeAt(settings[name!] as Record<string, unknown>, rest);
}
