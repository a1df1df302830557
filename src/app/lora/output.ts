import { realpath } from "node:fs/promises";
import { resolve } from "node:path";
import { UserError } from "../../tensor/errors.ts";

/** @throws UserError when an output is one of the inputs */
export async function checkNotAmong(out: string, inputs: readonly string[]): Promise<void> {
  const real = (path: string): Promise<string> => realpath(path).catch(() => resolve(path));
  const target = await real(out);
  for (const input of inputs) {
    if ((await real(input)) === target) throw new UserError(`out: ${out} is an input; choose another name`);
  }
}
