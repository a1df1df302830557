import { openModelFolder } from "../../diffusion/model-folder.ts";
import { type PartCheck, verifyModel } from "../../diffusion/verify-model.ts";
import { UserError } from "../../tensor/errors.ts";
import { printable } from "../../runtime/quote.ts";
import { textTable } from "../cli/text-table.ts";
import { checkHashes, type HashOptions } from "./verify-hashes.ts";

/** Faults shown of one part; the rest are counted. */
const MAX_FAULTS = 8;

/**
 * Checks a model and says what was found, part by part: files against the checksums that are known of them, then what is
 * in them.
 * @throws UserError when a part is missing or a file malformed, unless a checksum already tells why
 */
export async function describeChecks(
  path: string,
  options: HashOptions = {},
): Promise<{ text: string; isWhole: boolean }> {
  const { numCompared, numUnknown, faults: damaged } = await checkHashes(path, options);
  const checks: PartCheck[] = [];
  try {
    for await (const check of verifyModel(await openModelFolder(path))) checks.push(check);
  } catch (error) {
    if (damaged.length === 0 || !(error instanceof UserError)) throw error;
    checks.push({ part: "model", checked: path, faults: [error.message] });
  }
  const compared = numCompared === 1 ? "1 file compared" : `${numCompared} files compared`;
  checks.push({
    part: "checksums",
    checked: `${compared}, ${numUnknown} without a known one`,
    faults: damaged,
  });
  const rows: string[][] = [];
  for (const { part, checked, faults } of checks) {
    rows.push([faults.length === 0 ? "ok" : "FAULT", part, printable(checked)]);
    for (const fault of faults.slice(0, MAX_FAULTS)) rows.push(["", "", printable(fault)]);
    if (faults.length > MAX_FAULTS) rows.push(["", "", `and ${faults.length - MAX_FAULTS} more`]);
  }
  const isWhole = checks.every(({ faults }) => faults.length === 0);
  return {
    text: `${textTable(rows)}\n${isWhole ? "The model is whole." : "The model is not whole: see the faults above."}`,
    isWhole,
  };
}
