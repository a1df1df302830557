/** What a parity check is: one kind of golden folder, compared with what this project computes. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { UserError } from "../../tensor/errors.ts";

/** One compared quantity. */
export interface ParityRow {
  readonly name: string;
  /** Largest deviation found; NaN when it could not be computed. */
  readonly error: number;
  /** Largest deviation allowed; 0 asks for equality. */
  readonly tolerance: number;
  readonly pass: boolean;
}

export interface ParityCheck {
  /** Usual name of the golden folder, for messages. */
  readonly folder: string;
  /** What the `what` field of its config.json says: a folder is known by its content, not by its name. */
  readonly what: RegExp;
  /** Compares everything in the folder. Sizes come from its files alone. */
  run(dir: string): Promise<ParityRow[]>;
}

/** A row that passes when the error is within the tolerance. */
export function row(name: string, error: number, tolerance: number): ParityRow {
  return { name, error, tolerance, pass: error <= tolerance };
}

/** A row for something in the folder that no check covers. */
export function uncheckedRow(name: string): ParityRow {
  return row(`${name} (no check knows it)`, Number.NaN, 0);
}

/** max |actual - golden|; infinite when the lengths differ, NaN when a value is. */
export function maxAbsError(actual: ArrayLike<number>, golden: ArrayLike<number>): number {
  if (actual.length !== golden.length) return Infinity;
  let error = 0;
  for (let i = 0; i < golden.length; i++) {
    const difference = actual[i] === golden[i] ? 0 : Math.abs(actual[i]! - golden[i]!);
    if (Number.isNaN(difference)) return Number.NaN;
    if (difference > error) error = difference;
  }
  return error;
}

/** max |actual - golden| / max |golden|: the error of tensors whose tolerance is relative. */
export function maxErrorOverMax(actual: ArrayLike<number>, golden: ArrayLike<number>): number {
  return (
    maxAbsError(actual, golden) /
    Math.max(maxAbsError(golden, new Float32Array(golden.length)), Number.MIN_VALUE)
  );
}

/** Reads and checks one of the folder's JSON files. */
export async function readJson<T>(path: string, schema: z.ZodType<T>): Promise<T> {
  try {
    return schema.parse(JSON.parse(await readFile(path, "utf8")));
  } catch (cause) {
    const reason = cause instanceof z.ZodError ? z.prettifyError(cause) : (cause as Error).message;
    throw new UserError(`${path} cannot be used: ${reason}`, { cause });
  }
}

/** Reads the folder's config.json. */
export async function readConfig<T>(dir: string, schema: z.ZodType<T>): Promise<T> {
  return readJson(join(dir, "config.json"), schema);
}

/** A tolerance of config.json: a number, or a text that begins with one ("1e-5 relative"); "exact" is 0. */
export const toleranceSchema = z.union([z.number(), z.string()]).transform((value, context) => {
  const number = typeof value === "number" ? value : value.startsWith("exact") ? 0 : Number.parseFloat(value);
  if (Number.isNaN(number)) context.addIssue(`"${value}" does not begin with a number`);
  return number;
});
