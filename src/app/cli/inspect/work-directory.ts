import { readWorkDirectory } from "../../../pipeline/read-work-directory.ts";
import { printable } from "../../../runtime/quote.ts";
import { formatBytes, formatDuration } from "../quantities.ts";
import { textTable } from "../text-table.ts";

/** Settings of a run, and the steps it has finished. */
export async function describeWorkDirectory(path: string): Promise<string> {
  const { settings, steps } = await readWorkDirectory(path);
  const settingRows = Object.entries(settings).map(([name, value]) => [printable(name), printable(value)]);
  const stepRows = steps.map(({ id, durationMs, byteLength, whole }) => [
    printable(id),
    formatBytes(byteLength),
    formatDuration(durationMs),
    whole ? "" : "damaged: will be done again",
  ]);
  return [
    "work directory",
    textTable(settingRows),
    `${steps.length} finished step${steps.length === 1 ? "" : "s"}`,
    ...(steps.length > 0 ? [textTable(stepRows, ["left", "right", "right"])] : []),
  ].join("\n");
}
