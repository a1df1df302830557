/** `npm run parity -- DIR`: compares this project with fixtures; exits with 1 when anything is off. */
import { UserError } from "../../tensor/errors.ts";
import { FIXTURE_KINDS } from "./fixtures.ts";
import { runParity, type FolderReport } from "./run.ts";

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

try {
  const dir = process.argv[2];
  if (dir === undefined) throw new UserError("got no folder; expected: npm run parity -- DIR");
  console.log("name, error, tolerance, pass");
  let [passed, missed] = [0, 0];
  for await (const report of runParity(dir, FIXTURE_KINDS)) {
    printReport(report);
    passed += report.rows.filter(({ pass }) => pass).length;
    missed += report.rows.filter(({ pass }) => !pass).length;
  }
  console.log(`\n${passed} of ${passed + missed} pass`);
  if (missed > 0) process.exitCode = 1;
} catch (error) {
  if (!(error instanceof UserError)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}
