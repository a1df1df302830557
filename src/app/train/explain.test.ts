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

/** Of each key its headline, and what is said below it in one line. */
const explained = explainTraining()
  .split(/\n(?! {4})/)
  .map((entry) => entry.split("\n"))
  .map(([headline = "", ...lines]) => ({ headline, text: lines.map((line) => line.trim()).join(" ") }));

test.each(Object.entries(TRAINING_SCHEMAS))("every key of %s says what it means there", (kind, schema) => {
  for (const { path, type, description, source, default: value } of schemaKeys(schema)) {
    expect(description, path).not.toBe("");
    expect(source, path).not.toBe("");
    if (path === "kind") continue;
    const [own, ...others] = explained.filter(
      ({ headline }) =>
        new RegExp(`^ *${path}(?: \\*)?: `).test(headline) &&
        (/\([^)]*\)$/.exec(headline)?.[0].includes(kind) ?? true),
    );
    expect(others, path).toEqual([]);
    expect(own!.text, path).toBe(`${description} [${source}]`);
    expect(own!.headline, path).toContain(`: ${type}`);
    if (value !== null && value !== "{}") expect(own!.headline, path).toContain(`default ${value}`);
  }
});
