import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { UNSEEN_HAND, BODY_POINTS } from "../media/pose-keypoints.ts";
import { Random } from "../tensor/random.ts";
import { sizeOf } from "../tensor/tensor.ts";
import {
  ClipDataset,
  type StoredClip,
  clipShapes,
  heldDatasetBytes,
  shardName,
  storedPoses,
  writeClips,
} from "./dataset.ts";
import { DATASET_JSON, type DatasetIndex, datasetJson, readDatasetIndex } from "./dataset-index.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "posegen-dataset-"));
});
afterEach(() => rm(folder, { recursive: true }));

const SIZE = { width: 16, height: 32, numFrames: 5 } as const;
const SHAPES = clipShapes({ ...SIZE, latentChannels: 2, textTokens: 3, imageSize: 4 });
const POSE = {
  body: BODY_POINTS.map(() => ({ x: 4, y: 8, score: 1 })),
  leftHand: UNSEEN_HAND,
  rightHand: UNSEEN_HAND,
};

/** Values that float16 holds exactly. */
function clip(seed: number): StoredClip {
  const random = new Random(seed);
  const halves = (shape: readonly number[]): Float32Array =>
    Float32Array.from({ length: sizeOf(shape) }, () => random.integer(64) / 16 - 2);
  return {
    video: halves(SHAPES.video),
    pose: halves(SHAPES.pose),
    hand: halves(SHAPES.hand),
    reference: halves(SHAPES.reference),
    person: Uint8Array.from({ length: sizeOf(SHAPES.person) }, () => random.integer(256)),
    tokens: Int32Array.of(seed, 1, 0),
    image: halves(SHAPES.image),
    poses: storedPoses([POSE, POSE, POSE, POSE, POSE], SIZE),
  };
}

function index(changes: Partial<DatasetIndex> = {}): Omit<DatasetIndex, "format"> {
  return {
    kind: "avatar",
    fingerprint: "encoders",
    ...SIZE,
    fps: 16,
    headFrames: 0,
    tailFrames: 0,
    shapes: SHAPES,
    settings: { series: "s" },
    clips: [0, 1, 2].map((i) => ({
      file: shardName(Math.floor(i / 2)),
      at: i % 2,
      caption: "A person.",
      source: { index: i },
    })),
    rejected: [],
    ...changes,
  };
}

async function writeDataset(changes: Partial<DatasetIndex> = {}): Promise<void> {
  await writeFile(join(folder, DATASET_JSON), datasetJson(index(changes)));
  await writeClips(join(folder, shardName(0)), [clip(0), clip(1)], SHAPES, "encoders");
  await writeClips(join(folder, shardName(1)), [clip(2)], SHAPES, "encoders");
}

test("clips come back as they were written, whatever is kept in memory", async () => {
  await writeDataset();
  for (const memoryBytes of [0, 1e9]) {
    const dataset = await ClipDataset.open(folder, { memoryBytes });
    const clips = await Promise.all([2, 0, 1, 2, 1].map((i) => dataset.clip(i)));
    const { poses: _, ...expected } = clip(2);
    expect(clips[0]).toEqual(expected);
    expect(clips[3]).toEqual(expected);
    expect(clips.map(({ tokens }) => tokens[0])).toEqual([2, 0, 1, 2, 1]);
  }
});

test("what a dataset takes in memory is foreseen", async () => {
  await writeDataset();
  const dataset = await ClipDataset.open(folder);
  const { poses: _, ...fields } = clip(0);
  const perClip = Object.values(fields).reduce((sum, { byteLength }) => sum + byteLength, 0);
  expect(heldDatasetBytes(dataset.index)).toBe(3 * perClip);
  const shapes = { ...SHAPES, video: [2, 2, 4000, 4000, 8] };
  expect(heldDatasetBytes({ ...dataset.index, shapes })).toBe(2e9);
});

test("poses are shares of the picture", async () => {
  await writeDataset();
  const dataset = await ClipDataset.open(folder);
  const poses = (await dataset.poses(1))!;
  expect([...poses.subarray(0, 3)]).toEqual([0.25, 0.25, 1]);
  expect(poses).toHaveLength(5 * 66 * 3);
  expect(poses[24 * 3 + 2]).toBe(0);
});

test("waits for the files of the clips asked for", async () => {
  await writeDataset();
  await rm(join(folder, shardName(1)));
  const dataset = await ClipDataset.open(folder);
  await dataset.waitFor(2);
  const signal = AbortSignal.timeout(50);
  await expect(dataset.waitFor(3, signal)).rejects.toThrow("aborted");
  await expect(dataset.clip(2)).rejects.toThrow("cannot open");
});

test("the index survives being written and read, byte for byte", async () => {
  await writeDataset({ rejected: [{ video: "a.mp4", startS: null, reason: "torn" }] });
  const read = await readDatasetIndex(folder);
  expect(read.rejected).toEqual([{ video: "a.mp4", startS: null, reason: "torn" }]);
  expect(datasetJson(read)).toBe(datasetJson(index({ rejected: read.rejected })));
});

test("what does not fit is refused", async () => {
  await expect(ClipDataset.open(folder)).rejects.toThrow("is no finished dataset");
  await writeDataset();
  await expect(ClipDataset.open(folder, { fingerprint: "others" })).rejects.toThrow("other settings");

  const clips = (file: string, at = 0) => [{ file, at, caption: "", source: { index: 0 } }];
  const text = datasetJson(index());
  for (const file of ["../shard-00000.safetensors", "/etc/passwd", "a/b/c.safetensors", "a/..safetensors"]) {
    await writeFile(join(folder, DATASET_JSON), text.replaceAll(shardName(0), file));
    await expect(ClipDataset.open(folder), file).rejects.toThrow("does not describe a dataset");
  }
  await writeFile(join(folder, DATASET_JSON), text.slice(0, -9));
  await expect(ClipDataset.open(folder)).rejects.toThrow("is not JSON");
  await writeDataset({ clips: clips(shardName(0), 7) });
  await expect((await ClipDataset.open(folder)).clip(0)).rejects.toThrow("has no clip 7");

  await writeDataset({ shapes: { ...SHAPES, hand: [2, 2, 4, 3] } });
  await expect((await ClipDataset.open(folder)).clip(0)).rejects.toThrow(
    '"hand" has the shape [2, 2, 2, 4, 2]',
  );

  await writeDataset();
  await writeClips(join(folder, shardName(0)), [clip(0)], SHAPES, "others");
  await expect((await ClipDataset.open(folder)).clip(0)).rejects.toThrow("other settings");
});
