import { FIXTURE_KINDS } from "./fixtures.ts";
import { runParity, type FolderReport } from "./run.ts";

/**
 * Checks every fixture in `dir` and prints each comparison.
 * @returns whether all passed
 * @throws UserError when there is nothing to check
 */
export async function printParity(dir: string): Promise<boolean> {
  console.log("name, error, tolerance, pass");
  let [passed, missed] = [0, 0];
  for await (const report of runParity(dir, FIXTURE_KINDS)) {
    printReport(report);
    passed += report.rows.filter(({ pass }) => pass).length;
    missed += report.rows.filter(({ pass }) => !pass).length;
  }
  console.log(`\n${passed} of ${passed + missed} pass`);
  return missed === 0;
}

function printReport({ folder, rows }: FolderReport): void {
  const failed = rows.filter(({ pass }) => !pass).length;
  console.log(`\n${folder}: ${rows.length - failed} of ${rows.length} pass`);
  const width = Math.max(...rows.map(({ name }) => name.length));
  for (const { name, error, tolerance, pass } of rows) {
    const [found, allowed] = [error, tolerance].map((value) => (value === 0 ? "0" : value.toExponential(1)));
    console.log(
      `  ${name.padEnd(width)}  ${found!.padStart(8)}  ${allowed!.padStart(8)}  ${pass ? "pass" : "FAIL"}`,
    );
  }
}
