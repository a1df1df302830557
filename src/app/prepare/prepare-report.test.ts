import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseHTML } from "linkedom";
import sharp from "sharp";
import { afterAll, beforeAll, expect, test } from "vitest";
import { runHere } from "../cli/testing.ts";
import { SAMPLE_FOLDER } from "../sample-assets.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "posegen-report-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

test("posegen prepare writes a page about the sample assets, with pictures and plots", async () => {
  const [video, image] = [join(SAMPLE_FOLDER, "dance.mp4"), join(SAMPLE_FOLDER, "reference.png")];
  const args = ["prepare", "--video", video, "--image", image, "--out", folder, "--end", "1.2"];
  const { exitCode, stdout, stderr } = await runHere(args);
  expect(exitCode, stderr).toBe(0);
  const path = join(folder, "report.html");
  expect(stdout).toContain(path);

  const { document } = parseHTML(await readFile(path, "utf8"));
  const headings = [...document.querySelectorAll("h2")].map(({ textContent }) => textContent);
  expect(headings).toEqual(["Chosen", "The skeleton", "People", "Confidence", "Background", "Alignment"]);
  expect(document.querySelectorAll("figure > svg")).toHaveLength(4);
  const pictures = await Promise.all(
    [...document.querySelectorAll("img")].map((element) => {
      const [, base64] = /^data:image\/jpeg;base64,(.+)$/.exec(element.getAttribute("src")!)!;
      return sharp(Buffer.from(base64!, "base64")).stats();
    }),
  );
  // Six moments and the alignment; none is a plain surface.
  expect(pictures).toHaveLength(7);
  for (const { entropy } of pictures) expect(entropy).toBeGreaterThan(1);
  const flags = [...document.querySelectorAll("tr > td:last-child")].map(({ textContent }) => textContent);
  expect(flags.join()).toMatch(/--person.*--eyes.*--start.*--fps.*--size.*--align.*--kv-share.*--anchor/);
  const confidence = document.querySelectorAll('figure > svg [aria-label="line"] path');
  expect(confidence[0]!.getAttribute("d")!.length).toBeGreaterThan(40);
});
