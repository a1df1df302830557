import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { writeTinyModel } from "../../diffusion/testing.ts";
import { ClipDataset } from "../../training/dataset.ts";
import type { DatasetIndex } from "../../training/dataset-index.ts";
import { start } from "../cli/testing.ts";
import { checkTrainingConfig } from "../train/config.ts";
import { runTraining } from "../train/run-training.ts";
import { tinySettings } from "../train/testing.ts";
import { buildDataset } from "./build-dataset.ts";
import { hashFiles, writeVideoFolder } from "./testing.ts";

let folder: string;
let index: Omit<DatasetIndex, "format">;
/** Hashes of the files of the dataset "whole" as it was built: a training puts encodings beside them. */
let built: Record<string, string>;
let notices: string[];

const SETTINGS = { size: "64x96", numFrames: 9, quality: "lite", dropHands: 0.5 } as const;

const request = (name: string) => ({
  ...SETTINGS,
  videos: join(folder, "videos"),
  model: join(folder, "model"),
  out: join(folder, name),
});

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "posegen-build-"));
  await writeTinyModel(join(folder, "model"));
  await writeVideoFolder(join(folder, "videos"));
  notices = [];
  const options = { onNotice: (message: string) => void notices.push(message) };
  index = await buildDataset({ ...request("whole"), numWorkers: 2 }, options);
  built = await hashFiles(join(folder, "whole"));
}, 600_000);
afterAll(() => rm(folder, { recursive: true, force: true }));

test("takes the clips of one person and says why it left out the others", () => {
  const taken = index.clips.map(({ source, caption }) => ({ ...source, caption }));
  const [first, second, third] = taken;
  expect(taken).toHaveLength(3);
  expect(first).toMatchObject({ video: "a.mp4", startS: 0, caption: "A woman dances in a <b>room</b>." });
  expect(second).toMatchObject({ video: "a.mp4", startS: 1.125 });
  expect(third).toMatchObject({ video: "more/b.mp4", startS: 0, caption: "A person is dancing." });
  const reasons = Object.fromEntries(index.rejected.map(({ video, reason }) => [video, reason]));
  expect(reasons).toEqual({
    "cut.mp4": "a cut at 0.63 s",
    "empty.mp4": "no person in 9 of 9 frames",
    "far.mp4": expect.stringMatching(/^the person is too small: \d+\.\d% of the picture, expected 30\.0%$/),
    "short.mp4": "is too short: 0.63 s, a clip takes 1.13 s",
    "torn.mp4": expect.stringMatching(/^cannot be read as a video/),
    "z-copy.mp4": "is a copy of a.mp4",
  });
  expect(notices.sort().map((line) => line.split(":")[0])).toEqual(["short.mp4", "torn.mp4", "z-copy.mp4"]);
});

test("clips hold what their shapes say, and a person in the middle", async () => {
  const dataset = await ClipDataset.open(join(folder, "whole"), { fingerprint: index.fingerprint });
  expect(dataset.numClips).toBe(3);
  await dataset.waitFor(3);
  const clip = await dataset.clip(2);
  expect(clip.video).toHaveLength(16 * 3 * 12 * 8);
  expect(clip.person[12 * 8 + 5 * 8 + 4]).toBeGreaterThan(200);
  expect(clip.person[0]).toBe(0);
  const poses = (await dataset.poses(2))!;
  expect(poses).toHaveLength(9 * 66 * 3);
  expect(poses[2]).toBeGreaterThan(0.5);
});

test("hands are dropped in all of a clip or in none of it, by chance, and the record says so", async () => {
  const dataset = await ClipDataset.open(join(folder, "whole"), { fingerprint: index.fingerprint });
  await dataset.waitFor(3);
  for (const [i, { source }] of index.clips.entries()) {
    const poses = (await dataset.poses(i))!;
    const handPoints = Array.from({ length: 9 }, (_, f) =>
      poses.subarray((f * 66 + 24) * 3, (f + 1) * 66 * 3),
    );
    const hasHands = handPoints.some((points) => points.some((value) => value !== 0));
    expect(source).toMatchObject({ handsDropped: !hasHands });
  }
});

test("training reads them", async () => {
  const listener = { step() {}, say() {} };
  const config = checkTrainingConfig(
    {
      ...tinySettings(folder, "phase1"),
      dataset: { folder: join(folder, "whole") },
      stages: [{ untilStep: 1, latentFrames: 3, batch: 2 }],
    },
    "settings",
  );
  const { signal } = new AbortController();
  expect(await runTraining(config, { resume: false, signal, listener })).toEqual({ step: 1, numSteps: 1 });
});

test("one worker makes the bytes of two; a finished run is not repeated", async () => {
  await buildDataset({ ...request("alone"), numWorkers: 1 });
  expect(await hashFiles(join(folder, "alone"))).toEqual(built);
  const whole = await hashFiles(join(folder, "whole"));
  const seen: string[] = [];
  await buildDataset(request("whole"), { onProgress: ({ activity }) => void seen.push(activity) });
  expect(new Set(seen)).toEqual(new Set(["videos read"]));
  expect(await hashFiles(join(folder, "whole"))).toEqual(whole);
});

test("a run that is killed goes on where it was and ends with the same bytes", async () => {
  const { videos, model, out } = request("killed");
  const flags = [
    "--size",
    "64x96",
    "--frames",
    "9",
    "--poses",
    "lite",
    "--drop-hands",
    "0.5",
    "--workers",
    "1",
  ];
  const command = ["dataset", "build", "--videos", videos, "--model", model, "--out", out, ...flags];
  const { child, outcome } = start(command);
  const clips = join(out, "clips");
  while (!existsSync(clips) || !(await readdir(clips)).some((name) => name.endsWith(".json")))
    await sleep(20);
  child.kill("SIGKILL");
  await outcome;
  expect(existsSync(join(out, "dataset.json"))).toBe(false);
  const again = await start(command).outcome;
  expect(again).toMatchObject({ exitCode: 0 });
  expect(again.stdout).toMatch(/clips +3 of 9 frames of 64x96 at 8 fps/);
  expect(await hashFiles(out)).toEqual(built);
});

test("a worker that ends costs one clip, which the next run makes", async () => {
  let struck = false;
  const lost: string[] = [];
  await buildDataset(
    { ...request("struck"), numWorkers: 1 },
    {
      onProgress: ({ activity }) => {
        if (activity !== "clips" || struck) return;
        struck = true;
        setTimeout(
          () => void childProcesses().then((pids) => pids.forEach((pid) => process.kill(pid, "SIGKILL"))),
          30,
        );
      },
      onNotice: (message) => void lost.push(message),
    },
  );
  expect(
    lost.filter((line) => line.endsWith("the process that worked on it ended with SIGKILL")),
  ).toHaveLength(1);
  await buildDataset(request("struck"));
  expect(await hashFiles(join(folder, "struck"))).toEqual(built);
});

/** Of this process; workers are the only ones. */
async function childProcesses(): Promise<number[]> {
  const text = await readFile(`/proc/${process.pid}/task/${process.pid}/children`, "utf8");
  return text.split(" ").filter(Boolean).map(Number);
}

test("what cannot be made is refused in one line", async () => {
  const bad = (changes: object) => buildDataset({ ...request("bad"), ...changes });
  await expect(bad({ numFrames: 10 })).rejects.toThrow("numFrames: got 10; expected 4k + 1, such as 9");
  await expect(bad({ headFrames: 4 })).rejects.toThrow("expected 0 or 4a + 1");
  await expect(bad({ videos: join(folder, "model") })).rejects.toThrow("holds no videos");
  await expect(bad({ videos: join(folder, "none") })).rejects.toThrow("cannot read the folder of videos");
  await expect(bad({ model: join(folder, "videos") })).rejects.toThrow("is not a model folder");
  await expect(bad({ eyes: [join(folder, "none.onnx")] })).rejects.toThrow("expected an ONNX model");
  await expect(bad({ eyes: [join(folder, "videos", "a.mp4")] })).rejects.toThrow("a.mp4");
  const torn = join(folder, "torn");
  await mkdir(torn);
  await writeFile(join(torn, "a.mov"), "no video");
  await expect(bad({ videos: torn })).rejects.toThrow(
    /none of the videos gave a clip\. The first reason of 1: a\.mov: cannot be read/,
  );
});
