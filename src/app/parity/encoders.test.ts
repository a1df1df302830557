import { join } from "node:path";
import { expect, test } from "vitest";
import { clipCheck } from "./clip.ts";
import { condCheck } from "./cond.ts";
import { umt5Check } from "./umt5.ts";
import { vaeCheck } from "./vae.ts";

test.each([umt5Check, clipCheck, condCheck, vaeCheck])(
  "$folder agrees with the published code",
  async ({ folder, run }) => {
    const rows = await run(join(import.meta.dirname, "../../../fixtures", folder));
    expect(rows.length).toBeGreaterThan(9);
    for (const { name, error, tolerance } of rows) expect(error, name).toBeLessThanOrEqual(tolerance);
  },
);
