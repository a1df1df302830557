/**
 * The settings of a training, one schema for each kind. Everything that is said about a key (what it means, its
 * default, where that comes from) is said in the schemas and nowhere else; `explain.ts` prints it.
 */
import { readFile, stat } from "node:fs/promises";
import { parseDocument } from "yaml";
import type { z } from "zod";
import { UserError } from "../../tensor/errors.ts";
import { baseConfig, phase1Config, phase2Config } from "./denoiser-config.ts";
import { explainIssues } from "./config-issues.ts";
import { vaeConfig } from "./vae-config.ts";

export const TRAINING_SCHEMAS = {
  vae: vaeConfig,
  base: baseConfig,
  phase1: phase1Config,
  phase2: phase2Config,
} as const;

export type TrainingKind = keyof typeof TRAINING_SCHEMAS;
export type VaeConfig = z.infer<typeof vaeConfig>;
export type DenoiserConfig =
  | z.infer<typeof baseConfig>
  | z.infer<typeof phase1Config>
  | z.infer<typeof phase2Config>;
export type TrainingConfig = VaeConfig | DenoiserConfig;

/** Largest configuration read; real ones have a few kilobytes. */
const MAX_BYTES = 1 << 20;

/**
 * Reads a configuration, YAML or JSON.
 * @param changes `key.of.it=value` each, values as in YAML: they go before those of the file
 * @throws UserError naming unknown keys, with the nearest known one, and values that do not fit
 */
export async function readTrainingConfig(
  path: string,
  changes: readonly string[] = [],
): Promise<TrainingConfig> {
  const found = await stat(path).catch((cause: Error) => {
    throw new UserError(`cannot read the configuration ${path}: ${cause.message}`, { cause });
  });
  if (!found.isFile() || found.size > MAX_BYTES) {
    throw new UserError(
      `${path} is no configuration: expected a YAML or JSON file of at most ${MAX_BYTES} bytes`,
    );
  }
  const value = parseYaml(await readFile(path, "utf8"), path);
  if (!isObject(value))
    throw new UserError(`${path} holds no settings; expected lines such as "kind: phase1"`);
  for (const change of changes) applyChange(value, change);
  return checkTrainingConfig(value, path);
}

/** Checks settings and fills in defaults. @param where for messages @throws UserError as `readTrainingConfig` */
export function checkTrainingConfig(value: unknown, where: string): TrainingConfig {
  const kind = isObject(value) ? value["kind"] : undefined;
  const schema = Object.entries(TRAINING_SCHEMAS).find(([name]) => name === kind)?.[1];
  if (!schema) {
    const kinds = Object.keys(TRAINING_SCHEMAS).join(", ");
    throw new UserError(`${where}: kind is ${JSON.stringify(kind) ?? "not set"}; expected one of ${kinds}`);
  }
  const result = schema.safeParse(value);
  if (!result.success) throw new UserError(`${where}: ${explainIssues(result.error, schema)}`);
  checkStages(result.data, where);
  checkKeptFrames(result.data, where);
  return result.data;
}

function checkStages(config: TrainingConfig, where: string): void {
  if (config.kind === "vae") return;
  config.stages.forEach(({ untilStep }, i) => {
    const previous = config.stages[i - 1]?.untilStep ?? 0;
    if (untilStep > previous) return;
    throw new UserError(
      `${where}: stages.${i}.untilStep is ${untilStep}, which is not after the stage before it (${previous})`,
    );
  });
}

/** What the mask keeps stands in the skeleton's place: it must not promise what is left out. */
function checkKeptFrames(config: TrainingConfig, where: string): void {
  if (config.kind !== "phase2" || config.drop.pose === 0) return;
  throw new UserError(
    `${where}: drop.pose is ${config.drop.pose}; phase2 needs 0, because the frames that its mask keeps stand in the ` +
      "skeleton's place",
  );
}

/** All steps of a training. */
export function numStepsOf(config: TrainingConfig): number {
  return config.kind === "vae" ? config.steps : config.stages.at(-1)!.untilStep;
}

function parseYaml(text: string, where: string): unknown {
  const document = parseDocument(text, { prettyErrors: true });
  const [error] = document.errors;
  if (error) throw new UserError(`${where} is neither YAML nor JSON: ${error.message}`);
  try {
    return document.toJS({ maxAliasCount: 100 });
  } catch (cause) {
    throw new UserError(`${where}: ${(cause as Error).message}`, { cause });
  }
}

function applyChange(settings: Record<string, unknown>, change: string): void {
  const [, path, text] = /^([^=]+)=(.*)$/s.exec(change) ?? [];
  if (path === undefined || text === undefined) {
    throw new UserError(`--set got "${change}"; expected KEY=VALUE, for example learningRate.peak=1e-4`);
  }
  const names = path.trim().split(".");
  let at = settings;
  for (const name of names.slice(0, -1)) {
    // An own property only: names come from the command line.
    if (!Object.hasOwn(at, name) || !isContainer(at[name])) define(at, name, {});
    at = at[name] as Record<string, unknown>;
  }
  define(at, names.at(-1)!, parseYaml(text, `--set ${change}`));
}

function define(target: Record<string, unknown>, name: string, value: unknown): void {
  Object.defineProperty(target, name, { value, enumerable: true, configurable: true, writable: true });
}

function isContainer(value: unknown): boolean {
  return typeof value === "object" && value !== null;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return isContainer(value) && !Array.isArray(value);
}
