import { mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { writeTinyModel } from "../../diffusion/testing.ts";
import { sharingJson, sharingMarkdown } from "./sharing-report.ts";
import {
  type SharingRanges,
  type SharingSearch,
  type SharingSearchOptions,
  candidateRanges,
  rangesText,
  recommend,
  searchSharing,
} from "./sharing-search.ts";

test("candidates share early steps and deep blocks, as the paper's presets do", () => {
  const names = candidateRanges(25, 40).map(rangesText);
  expect(names).toHaveLength(12);
  for (const preset of ["0..1:34..40", "0..2:34..40", "0..4:30..40"]) expect(names).toContain(preset);
  expect(candidateRanges(3, 2).map(rangesText)).toEqual(["0..1:1..2", "0..2:1..2"]);
});

describe("recommend", () => {
  /** Two clips with the same figures: background between segments, and the person's error. */
  function searchOf(figures: Readonly<Record<string, readonly [drift: number, person: number]>>) {
    const clip = Object.fromEntries(
      Object.entries(figures).map(([name, [backgroundDrift, personL1]]) => [
        name,
        { backgroundDrift, personL1 },
      ]),
    );
    return { model: "made up", modelHash: "0", settings: {}, clips: [clip, clip] } satisfies SharingSearch;
  }

  test("takes the nearest backgrounds among those that do the person no harm", () => {
    const figures = { off: [0.05, 0.1], "0..1:6..8": [0.04, 0.1], "0..2:6..8": [0.03, 0.09] } as const;
    expect(recommend(searchOf(figures)).name).toBe("0..2:6..8");
    expect(recommend(searchOf({ ...figures, "0..4:4..8": [0.01, 0.11] })).name).toBe("0..2:6..8");
  });

  test("takes none where nothing is won, or only on every other clip", () => {
    const off = { off: [0.05, 0.1], "0..1:6..8": [0.06, 0.09] } as const;
    expect(recommend(searchOf(off)).name).toBe("off");
    const [won] = searchOf({ ...off, "0..1:6..8": [0.01, 0.09] }).clips;
    const search = searchOf(off);
    expect(recommend({ ...search, clips: [won!, search.clips[0]!] }).name).toBe("off");
  });
});

let folder: string;
let model: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "posegen-sharing-search-"));
  model = await writeTinyModel(join(folder, "model"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const options = (): SharingSearchOptions => ({
  model,
  numClips: 1,
  numJobs: 1,
  seed: 1,
  steps: 2,
  work: join(folder, "work"),
});

test("a search measures every candidate over the same noise, and goes on where it stopped", async () => {
  const search = await searchSharing(options());
  const [clip] = search.clips;
  expect(Object.keys(clip!)).toEqual(["off", "0..1:1..2"]);
  for (const figures of Object.values(clip!)) {
    expect(figures.backgroundDrift).toBeGreaterThan(0);
    expect(figures.personL1).toBeGreaterThan(0);
  }
  expect(clip!["0..1:1..2"]).not.toEqual(clip!["off"]);
  const markdown = sharingMarkdown(search);
  expect(markdown).toMatch(/^\| off \|.*\| – \|$/m);
  expect(markdown).toMatch(/^Recommended: /m);
  expect(markdown).not.toMatch(/NaN|undefined|Infinity/);

  const [record] = (await readdir(options().work, { recursive: true })).filter((name) =>
    name.endsWith("sharing-0000.json"),
  );
  const finishedAt = async () => (await stat(join(options().work, record!))).mtimeMs;
  const before = await finishedAt();
  expect(sharingJson(await searchSharing(options()))).toBe(sharingJson(search));
  expect(await finishedAt()).toBe(before);
});

test("ranges outside the model are refused before anything is generated", async () => {
  const ranges: SharingRanges[] = [{ steps: [0, 1], blocks: [0, 99] }];
  await expect(searchSharing({ ...options(), ranges })).rejects.toThrow("kvShare.blocks");
});
