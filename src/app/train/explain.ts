/** Prints what every key of a configuration means: `posegen train --explain`, and docs/training.md. */
import { TRAINING_SCHEMAS, type TrainingKind } from "./config.ts";
import { type SchemaKey, schemaKeys } from "./schema-keys.ts";

interface ExplainedKey extends SchemaKey {
  /** Kinds that have the key, by its default there; null where it has to be given. */
  readonly kinds: Map<string | null, TrainingKind[]>;
}

const INDENT = "    ";
const WIDTH = 100;

/**
 * The keys of some kinds of training, all by default. A key of several kinds comes once, with its default for each,
 * unless it means something else or comes from elsewhere in some of them.
 * Keys marked with * may be changed when a run goes on.
 */
export function explainTraining(
  kinds: readonly TrainingKind[] = Object.keys(TRAINING_SCHEMAS) as TrainingKind[],
): string {
  const keys = collectKeys(kinds);
  return keys
    .map((key) => `${headline(key, kinds)}\n${wrap(`${key.description} [${key.source}]`)}`)
    .join("\n");
}

/** The keys of all kinds, each at its place among its neighbours. */
function collectKeys(kinds: readonly TrainingKind[]): ExplainedKey[] {
  const keys: ExplainedKey[] = [];
  for (const kind of kinds) {
    let place = 0;
    for (const key of schemaKeys(TRAINING_SCHEMAS[kind])) {
      let at = keys.findIndex((known) => isSame(known, key));
      if (at < 0) {
        at = keys.findLastIndex(({ path }) => path === key.path);
        at = at < 0 ? place : at + 1;
        keys.splice(at, 0, { ...key, kinds: new Map() });
      }
      const owners = keys[at]!.kinds;
      owners.set(key.default, [...(owners.get(key.default) ?? []), kind]);
      place = at + 1;
    }
  }
  return keys;
}

/** Whether the same is said of two keys; `kind`, whose value is all that differs, counts as one. */
function isSame(a: SchemaKey, b: SchemaKey): boolean {
  if (a.path === "kind") return b.path === "kind";
  return (["path", "type", "description", "source", "isFree"] as const).every((name) => a[name] === b[name]);
}

function headline(
  { path, type, isGroup, isFree, kinds }: ExplainedKey,
  all: readonly TrainingKind[],
): string {
  const depth = path.split(".").length - 1;
  const owners = [...kinds.values()].flat();
  const scope = owners.length === all.length ? "" : `  (${owners.join(", ")})`;
  const name = `${"  ".repeat(depth)}${path}${isFree ? " *" : ""}`;
  if (path === "kind") return `${name}: ${owners.join(" or ")}, required`;
  if (isGroup) return `${name}: ${type}${scope}`;
  const defaults = [...kinds].map(([value, of]) => {
    const text = value === null ? "required" : `default ${value}`;
    return kinds.size === 1 ? text : `${text} for ${of.join(", ")}`;
  });
  return `${name}: ${type}, ${defaults.join("; ")}${scope}`;
}

function wrap(text: string): string {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const line = lines.at(-1);
    if (line !== undefined && line.length + 1 + word.length <= WIDTH)
      lines[lines.length - 1] = `${line} ${word}`;
    else lines.push(`${INDENT}${word}`);
  }
  return lines.join("\n");
}
