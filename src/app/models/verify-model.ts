import { openModelFolder } from "../../diffusion/model-folder.ts";
import { verifyModel } from "../../diffusion/verify-model.ts";
import { printable } from "../cli/printable.ts";
import { textTable } from "../cli/text-table.ts";

/** Faults shown of one part; the rest are counted. */
const MAX_FAULTS = 8;

/**
 * Checks a model and says what was found, part by part.
 * @throws UserError when a part is missing or a file malformed
 */
export async function describeChecks(path: string): Promise<{ text: string; isWhole: boolean }> {
  const rows: string[][] = [];
  let isWhole = true;
  for await (const { part, checked, faults } of verifyModel(await openModelFolder(path))) {
    isWhole &&= faults.length === 0;
    rows.push([faults.length === 0 ? "ok" : "FAULT", part, printable(checked)]);
    for (const fault of faults.slice(0, MAX_FAULTS)) rows.push(["", "", printable(fault)]);
    if (faults.length > MAX_FAULTS) rows.push(["", "", `and ${faults.length - MAX_FAULTS} more`]);
  }
  return {
    text: `${textTable(rows)}\n${isWhole ? "The model is whole." : "The model is not whole: see the faults above."}`,
    isWhole,
  };
}
