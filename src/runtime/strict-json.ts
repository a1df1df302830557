/** Parses JSON from files we did not write: bounded nesting, bounded number of values, no key twice in one object. */
import { z } from "zod";
import { oneLine } from "./quote.ts";

/** Values and keys of one text. The largest tokenizers have about a million. */
const MAX_VALUES = 1 << 22;

/**
 * `JSON.parse`, but a SyntaxError is also thrown when arrays and objects nest deeper than `maxDepth`, there are more
 * than `MAX_VALUES` values, or an object names a key twice (JSON.parse would keep the last one without a word).
 */
export function parseStrictJson(text: string, maxDepth: number): unknown {
  checkStructure(text, maxDepth);
  return JSON.parse(text);
}

/** Walks brackets and keys only, before anything is built in memory; JSON.parse judges the rest of the syntax. */
function checkStructure(text: string, maxDepth: number): void {
  const scopes: (Set<string> | "array")[] = [];
  let expectsKey = false;
  let numValues = 0;
  const count = (): void => {
    if (++numValues > MAX_VALUES) throw new SyntaxError(`JSON has more than ${MAX_VALUES} values`);
  };
  const enter = (scope: Set<string> | "array"): void => {
    count();
    if (scopes.push(scope) > maxDepth) throw new SyntaxError(`JSON nests deeper than ${maxDepth} levels`);
    expectsKey = scope !== "array";
  };
  for (let i = 0; i < text.length; i++) {
    switch (text[i]) {
      case "{":
        enter(new Set());
        break;
      case "[":
        enter("array");
        break;
      case "}":
      case "]":
        scopes.pop();
        break;
      case ",":
        count();
        expectsKey = scopes.at(-1) instanceof Set;
        break;
      case ":":
        expectsKey = false;
        break;
      case '"': {
        const end = endOfString(text, i);
        const keys = scopes.at(-1);
        if (expectsKey && keys instanceof Set) {
          const key = JSON.parse(text.slice(i, end)) as string;
          if (keys.has(key)) throw new SyntaxError(`the key ${JSON.stringify(key)} occurs twice`);
          keys.add(key);
        }
        i = end - 1;
        break;
      }
    }
  }
}

/** Position after the closing quote of the string that opens at `start`. */
function endOfString(text: string, start: number): number {
  for (let i = start + 1; i < text.length; i++) {
    if (text[i] === "\\") i++;
    else if (text[i] === '"') return i + 1;
  }
  throw new SyntaxError("a string is not closed");
}

/** Why a text is no JSON, or JSON of the wrong shape, in one line: the first fault and where it is. */
export function describeFault(cause: unknown): string {
  if (!(cause instanceof z.ZodError)) return oneLine(cause instanceof Error ? cause.message : String(cause));
  const { path, message } = cause.issues[0]!;
  const rest = cause.issues.length > 1 ? ` (and ${cause.issues.length - 1} more)` : "";
  return oneLine(`${path.length > 0 ? `${path.join(".")}: ` : ""}${message}`) + rest;
}
