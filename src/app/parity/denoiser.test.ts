import { join } from "node:path";
import { expect, test } from "vitest";
import { ditCheck } from "./dit.ts";
import { ditKvShareCheck } from "./dit-kvshare.ts";
import { loraCheck } from "./lora.ts";
import { otsuCheck } from "./otsu.ts";

test.each([ditCheck, ditKvShareCheck, loraCheck, otsuCheck])(
  "$folder agrees with its fixture",
  async ({ folder, run }) => {
    const rows = await run(join(import.meta.dirname, "../../../fixtures", folder));
    expect(rows.length).toBeGreaterThan(0);
    expect(rows.filter((row) => !row.pass)).toEqual([]);
  },
);
