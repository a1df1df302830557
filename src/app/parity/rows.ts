/** What a parity check reports: our numbers beside those of a fixture. */
import { z } from "zod";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { UserError } from "../../tensor/errors.ts";
import { type Tensor } from "../../tensor/tensor.ts";

export interface ParityRow {
  readonly name: string;
  /** In the unit of `tolerance`: a difference, a share of the largest golden value, or a count. */
  readonly error: number;
  readonly tolerance: number;
  readonly pass: boolean;
}

/** The check of one kind of fixture folder. */
export interface ParityCheck {
  /** Name of the folders it can check. */
  readonly folder: string;
  /** Checks the fixture in `dir`. Sizes come from its config.json and its tensors. */
  run(dir: string): Promise<ParityRow[]>;
}

export function parityRow(name: string, error: number, tolerance: number): ParityRow {
  return { name, error, tolerance, pass: error <= tolerance };
}

/** A row that does not pass, for something in a fixture that no check covers. */
export function unknownRow(name: string): ParityRow {
  return parityRow(`${name} (not known)`, Infinity, 0);
}

/** How two tensors are compared: largest difference, the same over the largest golden value, or unequal elements. */
export type Measure = "absolute" | "relative" | "unequal";

/** Compares a result with its golden tensor; another number of elements is an infinite error. */
export function compare(
  name: string,
  actual: Tensor,
  golden: Tensor,
  measure: Measure,
  tolerance: number,
): ParityRow {
  return parityRow(name, difference(actual.data, golden.data, measure), tolerance);
}

/** The measured difference of two lists of numbers; infinite when their lengths differ or one holds a NaN. */
export function difference(
  actual: ArrayLike<number | bigint>,
  golden: ArrayLike<number | bigint>,
  measure: Measure,
): number {
  if (actual.length !== golden.length) return Infinity;
  let largest = 0;
  let scale = 0;
  let unequal = 0;
  for (let i = 0; i < golden.length; i++) {
    const expected = Number(golden[i]);
    // Infinities are equal, though their difference is not a number.
    const gap = actual[i] === golden[i] ? 0 : Math.abs(Number(actual[i]) - expected);
    if (!(gap === 0)) unequal++;
    // A NaN must not pass for a small error.
    if (!(gap <= largest)) largest = Number.isNaN(gap) ? Infinity : gap;
    scale = Math.max(scale, Math.abs(expected));
  }
  if (measure === "unequal") return unequal;
  return measure === "absolute" || largest === 0 ? largest : largest / scale;
}

/** Reads a fixture's config.json, or the part of it that a check needs. */
export async function readConfig<T>(dir: string, schema: z.ZodType<T>): Promise<T> {
  return readJson(join(dir, "config.json"), schema);
}

/** Reads a JSON file of a fixture. */
export async function readJson<T>(path: string, schema: z.ZodType<T>): Promise<T> {
  try {
    return schema.parse(JSON.parse(await readFile(path, "utf8")));
  } catch (cause) {
    const reason = cause instanceof z.ZodError ? z.prettifyError(cause) : (cause as Error).message;
    throw new UserError(`${path}: ${reason}`, { cause });
  }
}

/** A tolerance of a config.json: a number, or a text that begins with one ("1e-5 relative"); "exact" is 0. */
export const toleranceSchema = z.union([z.number(), z.string()]).transform((value, context) => {
  const number = typeof value === "number" ? value : value.startsWith("exact") ? 0 : Number.parseFloat(value);
  if (Number.isNaN(number)) context.addIssue(`"${value}" does not begin with a number`);
  return number;
});
