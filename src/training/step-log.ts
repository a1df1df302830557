import { appendFile, readFile } from "node:fs/promises";
import { join } from "node:path";
import { writeFileAtomically } from "../files/atomic-file.ts";
import { type StepReport } from "./train.ts";

/** The log of a run: one JSON object per step. */
export const STEP_LOG = "log.jsonl";

/** Adds a step to the log of a run. */
export async function logStep(folder: string, report: StepReport): Promise<void> {
  await appendFile(join(folder, STEP_LOG), `${JSON.stringify(report)}\n`);
}

/** The steps of a run's log, oldest first; none when there is no log. A line that a killed run left unfinished is passed over. */
export async function readStepLog(folder: string): Promise<StepReport[]> {
  const text = await readFile(join(folder, STEP_LOG), "utf8").catch(() => "");
  return text.split("\n").flatMap((line) => {
    try {
      return [JSON.parse(line) as StepReport];
    } catch {
      return [];
    }
  });
}

/** Removes the steps that a killed run has made after its last checkpoint: they are made again. */
export async function forgetStepsAfter(folder: string, step: number): Promise<void> {
  const reports = await readStepLog(folder);
  const kept = reports.filter((report) => report.step <= step);
  if (kept.length === reports.length) return;
  await writeFileAtomically(join(folder, STEP_LOG), (handle) =>
    handle.writeFile(kept.map((report) => `${JSON.stringify(report)}\n`).join("")),
  );
}
