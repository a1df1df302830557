import { join } from "node:path";
import { writeFileAtomically } from "../../files/atomic-file.ts";
import { DATASET_JSON, type DatasetIndex, datasetJson } from "../../training/dataset-index.ts";

/** Writes a dataset's `dataset.json`, whole or not at all. */
export async function writeDatasetIndex(folder: string, index: Omit<DatasetIndex, "format">): Promise<void> {
  const text = datasetJson(index);
  await writeFileAtomically(join(folder, DATASET_JSON), (handle) => handle.writeFile(text));
}
