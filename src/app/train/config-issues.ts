/** Says what is wrong with a configuration in words that help to mend it. */
import type { z } from "zod";
import { schemaKeys } from "./schema-keys.ts";

/** Keys that differ in more letters than this share of theirs are no slip of the pen. */
const MAX_DISTANCE = 0.5;

/** All faults in one sentence each. */
export function explainIssues(error: z.ZodError, schema: z.ZodObject): string {
  const known = [...schemaKeys(schema)].map(({ path }) => path);
  return error.issues.map((issue) => explainIssue(issue, known)).join("; ");
}

function explainIssue(issue: z.core.$ZodIssue, known: readonly string[]): string {
  const place = issue.path.join(".");
  if (issue.code !== "unrecognized_keys") return `${place}: ${issue.message}`;
  return issue.keys
    .map((name) => {
      const full = place === "" ? name : `${place}.${name}`;
      const nearest = nearestKey(full, known);
      return `there is no key "${full}"${nearest === null ? "" : `; did you mean "${nearest}"?`}`;
    })
    .join("; ");
}

/**
 * The known key that is written most alike, also where only its last part was meant; null when none is near.
 * Items of lists count without their numbers: `stages.0.batch` is known as `stages.batch`.
 */
export function nearestKey(name: string, known: readonly string[]): string | null {
  const wanted = name.replace(/\.\d+(?=\.|$)/g, "").toLowerCase();
  const last = wanted.split(".").at(-1)!;
  let best: { readonly key: string; readonly distance: number } | null = null;
  for (const key of known) {
    const lower = key.toLowerCase();
    const ownLast = lower.split(".").at(-1)!;
    // The whole path goes before its last part: a half letter decides between equals.
    const distance = Math.min(
      editDistance(wanted, lower) / wanted.length,
      (editDistance(last, ownLast) + 0.5) / last.length,
    );
    if (distance <= MAX_DISTANCE && (best === null || distance < best.distance)) best = { key, distance };
  }
  return best?.key ?? null;
}

/** Letters to insert, remove or replace to turn one text into the other (Levenshtein, 1966). */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[b.length]!;
}
