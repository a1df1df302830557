import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { TRAINING_SCHEMAS } from "./config.ts";
import { explainTraining } from "./explain.ts";
import { schemaKeys } from "./schema-keys.ts";

test("docs/training.md has what --explain prints", async () => {
  const text = await readFile(new URL("../../../docs/training.md", import.meta.url), "utf8");
  const [, keys] = /<!-- keys -->\n```\n([\s\S]*?)\n```/.exec(text) ?? [];
  expect(keys).toBe(explainTraining());
});

test.each(Object.entries(TRAINING_SCHEMAS))("every key of %s is explained, with its source", (_, schema) => {
  for (const { path, description, source } of schemaKeys(schema)) {
    expect(description, path).not.toBe("");
    expect(source, path).not.toBe("");
  }
});
