import { appendFile, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { BODY_POINTS, HAND_POINTS, UNSEEN_HAND } from "../media/pose-keypoints.ts";
import { MAX_PATCH_SIDE } from "../perception/normal-patch.ts";
import type { PersonFrame } from "../perception/person-frame.ts";
import { Random } from "../tensor/random.ts";
import { UserError } from "../tensor/errors.ts";
import { Driver } from "./driver.ts";
import { KeypointsFile, writeKeypoints } from "./keypoints-file.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "posegen-keypoints-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** A frame whose first point tells its number. */
function frameOf(index: number, fps: number): PersonFrame {
  return {
    index,
    timeS: index / fps,
    size: { width: 100, height: 200 },
    pose: {
      body: BODY_POINTS.map((_, i) => ({ x: index, y: i + 0.25, score: 0.5 })),
      leftHand: HAND_POINTS.map((_, i) => ({ x: i, y: i / 4 - 2, score: 0.75 })),
      rightHand: UNSEEN_HAND,
    },
    depths: { left: HAND_POINTS.map((_, i) => i / 4), right: HAND_POINTS.map(() => 0) },
    numPeople: 2,
    ...(index % 2 === 1 && { others: [{ left: -5, top: 10, right: 40 + index, bottom: 190 }] }),
    found: { body: true, leftHand: index % 2 === 0, rightHand: false },
  };
}

async function* framesOf(count: number, fps: number): AsyncGenerator<PersonFrame> {
  for (let index = 0; index < count; index++) yield frameOf(index, fps);
}

async function written(name: string, count: number, fps: number): Promise<string> {
  const path = join(folder, name);
  await writeKeypoints(path, fps, framesOf(count, fps));
  return path;
}

test("frames come back as they were written, in any order", async () => {
  const file = await KeypointsFile.open(await written("whole.jsonl", 5, 8));
  expect(file.numFrames).toBe(5);
  expect(file.fps).toBe(8);
  for (const index of [4, 0, 3]) expect(await file.read(index)).toEqual(frameOf(index, 8));
});

test("cuts and the normals of hands come back too, and damaged normals are refused", async () => {
  const side = MAX_PATCH_SIDE;
  // Noise does not compress: the longest line there is.
  const random = new Random(1);
  const normals = Uint8Array.from({ length: 3 * side * side }, () => random.integer(256));
  const patch = {
    width: side,
    height: side,
    origin: { x: 3.5, y: -2 },
    across: { x: 0.75, y: 0.1 },
    down: { x: -0.1, y: 0.75 },
    normals,
  };
  const frame: PersonFrame = { ...frameOf(0, 8), cut: true, surfaces: { left: patch, right: null } };
  const both: PersonFrame = { ...frameOf(1, 8), surfaces: { left: patch, right: patch } };
  const path = join(folder, "surfaces.jsonl");
  await writeKeypoints(path, 8, [frame, both]);
  const file = await KeypointsFile.open(path);
  expect(await file.read(0)).toEqual(frame);
  expect(await file.read(1)).toEqual(both);
  const text = await readFile(path, "utf8");
  for (const damage of ["!", "AAAA"]) {
    await writeFile(path, text.replace(/"normals":"./, `"normals":"${damage}`));
    await expect(KeypointsFile.open(path)).rejects.toThrow(/line 2, is no pose/);
  }
});

test("a file made by hand needs body points only, and may have blank lines", async () => {
  const path = join(folder, "by-hand.jsonl");
  const body = BODY_POINTS.map(() => [1, 2, 0.9]);
  const line = JSON.stringify({ size: [10, 20], body });
  await writeFile(path, `{"format":"posegen-keypoints","version":1,"fps":30}\n\n${line}\n\n${line}`);
  const file = await KeypointsFile.open(path);
  expect(file.numFrames).toBe(2);
  expect(await file.read(1)).toMatchObject({
    index: 1,
    pose: { leftHand: UNSEEN_HAND },
    found: { body: true, leftHand: false, rightHand: false },
    numPeople: 1,
  });
});

describe("what is no file of poses is refused:", () => {
  const header = '{"format":"posegen-keypoints","version":1,"fps":30}\n';
  test.each([
    ["an empty one", "", /is empty/],
    ["another format", '{"format":"coco"}\n', /line 1, is no pose/],
    ["another version", header.replace('"version":1', '"version":2'), /line 1, is no pose/],
    ["no frames", header, /holds no poses/],
    ["no JSON", `${header}{"size":`, /line 2, is not JSON/],
    ["too few points", `${header}{"size":[1,1],"body":[]}`, /line 2, is no pose[^]*body/],
    ["no finite number", `${header}{"size":[1e999,1],"body":[]}`, /line 2/],
    ["an endless line", header + "x".repeat(70_000), /more than 65536 bytes/],
  ])("%s", async (name, text, message) => {
    const path = join(folder, `${name}.jsonl`);
    await writeFile(path, text);
    const error: unknown = await KeypointsFile.open(path).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(UserError);
    expect((error as UserError).message).toMatch(message);
  });

  test("a missing one", async () => {
    await expect(KeypointsFile.open(join(folder, "none.jsonl"))).rejects.toThrow(/does not exist/);
  });
});

test("a failure while poses are found leaves no file", async () => {
  const path = join(folder, "failing.jsonl");
  async function* failing(): AsyncGenerator<PersonFrame> {
    yield frameOf(0, 8);
    throw new Error("lost");
  }
  await expect(writeKeypoints(path, 8, failing())).rejects.toThrow("lost");
  await expect(readFile(path)).rejects.toThrow("ENOENT");
});

describe("a driver", () => {
  test("resamples by time", async () => {
    const path = await written("rate.jsonl", 6, 30);
    const shown = async (fps: number): Promise<number[]> => {
      const driver = await Driver.open(path, fps);
      const frames = Array.from({ length: driver.numFrames }, (_, i) => driver.frame(i));
      return (await Promise.all(frames)).map(({ pose }) => pose.body[0]!.x);
    };
    expect(await shown(30)).toEqual([0, 1, 2, 3, 4, 5]);
    expect(await shown(15)).toEqual([0, 2, 4]);
    expect(await shown(60)).toEqual([0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]);
    expect(await shown(16)).toEqual([0, 1, 3, 5]);
  });

  test("tells what was found, and how much of the person is seen", async () => {
    const path = await written("summary.jsonl", 4, 8);
    const driver = await Driver.open(path, 8);
    expect(driver.summary).toEqual({
      numFrames: 4,
      numWithBody: 4,
      numWithLeftHand: 2,
      numWithRightHand: 0,
      maxPeople: 2,
      absences: [],
      cutsS: [],
    });
    // Nose and ankles are 14 of 200 pixels apart.
    expect(driver.shot).toBe("distant");
    const half = BODY_POINTS.map((name) => [1, 2, /Knee|Ankle|Toe|Heel/.test(name) ? 0 : 0.9]);
    const shortened = join(folder, "half.jsonl");
    await writeFile(shortened, '{"format":"posegen-keypoints","version":1,"fps":30}\n');
    await appendFile(shortened, JSON.stringify({ size: [10, 20], body: half }));
    expect((await Driver.open(shortened, 30)).shot).toBe("half-body");
  });
});
