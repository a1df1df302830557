import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Graph, mul, reshape, serialize } from "../../graph/index.ts";
import { type Keypoint, type PoseKeypoints, poseFromWholebody } from "../../media/pose-keypoints.ts";
import { UserError } from "../../tensor/errors.ts";
import { PersonFinder } from "../analyze-video.ts";
import type { Eyes } from "../eyes.ts";
import type { PersonMask } from "../person-mask.ts";
import { ImagePyramid, type Point, type Region } from "../region.ts";
import { IMAGENET_CHANNELS, RTMDET_CHANNELS, SAPIENS_CHANNELS, YOLOX_CHANNELS } from "./crop.ts";
import { handSurfaceReader } from "./hand-surfaces.ts";
import { OnnxEyes } from "./onnx-eyes.ts";
import { OnnxModels } from "./open-models.ts";
import { poseFromPoints } from "./point-sets.ts";
import {
  boxNetwork,
  heatmapNetwork,
  normalNetwork,
  partNetwork,
  pictureWithDisc,
  simccNetwork,
  yoloxNetwork,
} from "./testing.ts";

const PICTURE = { width: 640, height: 800 };
const DISC = { x: 300.3, y: 412.7 };
const REGION: Region = { center: { x: 320, y: 400 }, size: 500, rotation: 0 };
const DWPOSE = { width: 288, height: 384 };
const SAPIENS = { width: 768, height: 1024 };
const DETECTOR = { width: 640, height: 640 };
const REACH = { left: 60, top: 150, right: 70, bottom: 140 };

/** Ways from the disc to the points of a set, in pixels of an input: no two alike. */
const offsetsOf = (numPoints: number, unit: number): Point[] =>
  Array.from({ length: numPoints }, (_, i) => ({
    x: ((i % 12) - 6) * 8.37 * unit,
    y: ((i % 17) - 8) * 9.71 * unit,
  }));

/** The points of a set in the picture. */
const pointsOf = (numPoints: number, unit: number, step: Point): Keypoint[] =>
  offsetsOf(numPoints, unit).map(({ x, y }) => ({
    x: DISC.x + x * step.x,
    y: DISC.y + y * step.y,
    score: 0.9,
  }));

function expectPose(pose: PoseKeypoints, expected: PoseKeypoints, tolerance: number): void {
  for (const part of ["body", "leftHand", "rightHand"] as const) {
    pose[part].forEach(({ x, y, score }, i) => {
      const exact = expected[part][i]!;
      expect(Math.hypot(x - exact.x, y - exact.y)).toBeLessThan(tolerance);
      expect(score).toBeCloseTo(0.9, 1);
    });
  }
}

let folder: string;
const pyramid = new ImagePyramid(pictureWithDisc(PICTURE, DISC, 14));
const nobody: Eyes = { detect: async () => [], look: async () => null, release: async () => {} };

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "eyes-"));
});
afterAll(async () => rm(folder, { recursive: true }));

async function written(name: string, model: Uint8Array): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, model);
  return path;
}

async function withModels<T>(paths: readonly string[], use: (models: OnnxModels) => Promise<T>): Promise<T> {
  const models = await OnnxModels.open({ paths });
  try {
    return await use(models);
  } finally {
    await models.release();
  }
}

const look = (paths: readonly string[]) =>
  withModels(paths, async (models) => new OnnxEyes(models, nobody).look(pyramid, REGION));
const detect = (paths: readonly string[]) =>
  withModels(paths, async (models) => new OnnxEyes(models, nobody).detect(pyramid, Infinity));

describe("pose networks", () => {
  it("read DWPose's SimCC between its bins", async () => {
    const step = { x: 500 / 384, y: 500 / 384 };
    const path = await written("dw.onnx", simccNetwork(DWPOSE, IMAGENET_CHANNELS, offsetsOf(133, 1)));
    const body = await look([path]);
    // A bin is 0.65 pixels of the picture.
    expectPose(body!.pose.keypoints!, poseFromWholebody(pointsOf(133, 1, step)), 0.08);
    expect(body!.pose.score).toBeCloseTo(0.9, 1);
  });

  it("read the heat maps of Sapiens between their pixels: 308 points of Goliath, 17 of COCO", async () => {
    const step = { x: 375 / 767, y: 500 / 1023 };
    for (const numPoints of [308, 17] as const) {
      const model = heatmapNetwork(SAPIENS, SAPIENS_CHANNELS, offsetsOf(numPoints, 2.5));
      const body = await look([await written(`sapiens-${numPoints}.onnx`, model)]);
      const expected = poseFromPoints(pointsOf(numPoints, 2.5, step), numPoints);
      // A pixel of the maps is 2 of the picture.
      if (numPoints === 308) expectPose(body!.pose.keypoints!, expected, 0.08);
      else {
        const [nose, ankle] = [body!.pose.keypoints!.body[0]!, body!.pose.keypoints!.body[10]!];
        expect(Math.hypot(nose.x - expected.body[0]!.x, nose.y - expected.body[0]!.y)).toBeLessThan(0.08);
        expect(Math.hypot(ankle.x - expected.body[10]!.x, ankle.y - expected.body[10]!.y)).toBeLessThan(0.08);
        expect(body!.pose.keypoints!.leftHand.every(({ score }) => score === 0)).toBe(true);
      }
    }
  });

  it("leave the mask to the networks that give one, where it is asked for", async () => {
    const model = await written("masked.onnx", simccNetwork(DWPOSE, IMAGENET_CHANNELS, offsetsOf(133, 1)));
    const mask: PersonMask = { region: REGION, resolution: 1, values: Float32Array.of(1) };
    await withModels([model], async (models) => {
      const plain = (await new OnnxEyes(models, nobody).look(pyramid, REGION))!;
      const others: Eyes = { ...nobody, look: async () => ({ ...plain, pose: { ...plain.pose, mask } }) };
      const seenBy = async (eyes: OnnxEyes) => (await eyes.look(pyramid, REGION))!.pose;
      expect(plain.pose.mask).toBeNull();
      expect((await seenBy(new OnnxEyes(models, others))).mask).toBeNull();
      expect(await seenBy(new OnnxEyes(models, others, { mask: true }))).toEqual({ ...plain.pose, mask });
      expect((await seenBy(new OnnxEyes(models, nobody, { mask: true }))).mask).toBeNull();
    });
  });

  it("order Goliath's hands from the wrist out, thumb first", () => {
    const points = Array.from({ length: 308 }, (_, i) => ({ x: i, y: 0, score: 1 }));
    const { body, leftHand, rightHand } = poseFromPoints(points, 308);
    expect(rightHand.map(({ x }) => x).slice(0, 9)).toEqual([41, 24, 23, 22, 21, 28, 27, 26, 25]);
    expect(leftHand.map(({ x }) => x).slice(17)).toEqual([61, 60, 59, 58]);
    expect([body[4]!.x, body[7]!.x, body[1]!.x]).toEqual([41, 62, 5.5]);
  });
});

describe("person detectors", () => {
  // The picture is 800 high: 0.8 of its size in the input.
  const box = {
    left: DISC.x - REACH.left / 0.8,
    right: DISC.x + REACH.right / 0.8,
    top: DISC.y - REACH.top / 0.8,
    bottom: DISC.y + REACH.bottom / 0.8,
  };

  it("decode the rows of YOLOX and the boxes of RTMDet, persons only and each once", async () => {
    const models = {
      "yolox_l.onnx": yoloxNetwork(DETECTOR, YOLOX_CHANNELS, REACH),
      "rtmdet_m.onnx": boxNetwork(DETECTOR, RTMDET_CHANNELS, REACH),
      "yolox_boxes.onnx": boxNetwork(DETECTOR, YOLOX_CHANNELS, REACH),
    };
    for (const [name, model] of Object.entries(models)) {
      const people = await detect([await written(name, model)]);
      expect(people).toHaveLength(1);
      const { region, score } = people[0]!;
      expect(score).toBeGreaterThan(0.8);
      expect(region.center.x).toBeCloseTo((box.left + box.right) / 2, 0);
      expect(region.center.y).toBeCloseTo((box.top + box.bottom) / 2, 0);
      expect(Math.abs(region.size - 1.25 * (box.bottom - box.top))).toBeLessThan(1);
    }
  });
});

describe("surfaces of hands", () => {
  it("are the normals inside the hands of the part segmentation", async () => {
    const paths = [
      await written("normal.onnx", normalNetwork(SAPIENS, SAPIENS_CHANNELS)),
      await written("seg.onnx", partNetwork(SAPIENS, SAPIENS_CHANNELS, 120)),
    ];
    const hands = await withModels(paths, async (models) => handSurfaceReader(models)!(pyramid, REGION));
    const step = 500 / 1024;
    for (const [patch, middle] of [
      [hands.left!, DISC.x],
      [hands.right!, DISC.x + 120 * step],
    ] as const) {
      let [count, sumX, sumY] = [0, 0, 0];
      for (let v = 0; v < patch.height; v++) {
        for (let u = 0; u < patch.width; u++) {
          const at = 3 * (v * patch.width + u);
          if (patch.normals[at + 2] === 0) continue;
          const x = patch.origin.x + (u + 0.5) * patch.across.x;
          count++;
          sumX += x;
          sumY += patch.origin.y + (v + 0.5) * patch.down.y;
          // Column of the input that shows this place, and the normal that the network gives there.
          const lean = (3 * ((x - REGION.center.x) / step + 383.5)) / 767;
          const length = Math.hypot(lean, 0.75, 3);
          [lean, 0.75, 3].forEach((n, c) =>
            expect(Math.abs(patch.normals[at + c]! - (127.5 + (127.5 * n) / length))).toBeLessThan(1.5),
          );
        }
      }
      expect(sumX / count).toBeCloseTo(middle, 0);
      expect(sumY / count).toBeCloseTo(DISC.y, 0);
      // The scores of a hand are above the background's within 28.3 pixels of the input.
      const area = count * patch.across.x * patch.down.y;
      expect(area / (Math.PI * (28.26 * step) ** 2)).toBeCloseTo(1, 1);
    }
  });
});

describe("models that cannot be used", () => {
  /** A network that gives its input back, in rows. */
  const echo = (shape: readonly number[]): Uint8Array => {
    const g = new Graph();
    g.output("y", reshape(mul(g.input("x", shape), 2), [1, 3, -1]));
    return serialize(g);
  };

  it("are refused in one line that names them and what was found", async () => {
    const text = await written("notes.onnx", new TextEncoder().encode("no model"));
    const picture = await written("picture.onnx", echo([1, 3, 64, 64]));
    const vector = await written("vector.onnx", echo([1, 12]));
    const pose = await written("a.onnx", simccNetwork(DWPOSE, IMAGENET_CHANNELS, offsetsOf(17, 1)));
    const second = await written("b.onnx", simccNetwork(DWPOSE, IMAGENET_CHANNELS, offsetsOf(133, 1)));
    const normals = await written("normals.onnx", normalNetwork({ width: 48, height: 64 }, SAPIENS_CHANNELS));
    const empty = join(folder, "empty");
    await mkdir(empty);
    const cases: readonly (readonly [readonly string[], RegExp])[] = [
      [[join(folder, "absent.onnx")], /^cannot read .*absent\.onnx: expected an ONNX model/],
      [[text], /^.*notes\.onnx is no ONNX model that runs here: /],
      [[vector], /vector\.onnx is no model that can see people: its input is no picture .* x \[1, 12\]/],
      [
        [picture],
        /picture\.onnx .* no known network has these shapes; .* outputs y \[1, 3, 4096\]\. Expected/,
      ],
      [[pose, second], /^both .*a\.onnx and .*b\.onnx see poses/],
      [[normals], /normals\.onnx sees surface normals .* give a model of parts of the body/],
      [[empty], /empty holds no model that can see people/],
    ];
    for (const [paths, message] of cases) {
      const error = await OnnxModels.open({ paths }).then(
        () => expect.unreachable("opened"),
        (cause: unknown) => cause as UserError,
      );
      expect(error).toBeInstanceOf(UserError);
      expect(error.message).toMatch(message);
      expect(error.message).not.toContain("\n");
    }
  });
});

it("finds a person by models of one's own, from the picture to the skeleton", async () => {
  const own = join(folder, "own");
  await mkdir(own);
  await writeFile(join(own, "yolox_l.onnx"), yoloxNetwork(DETECTOR, YOLOX_CHANNELS, REACH));
  await writeFile(join(own, "pose.onnx"), simccNetwork(DWPOSE, IMAGENET_CHANNELS, offsetsOf(133, 1)));
  await writeFile(join(own, "unrelated.onnx"), "something else");
  const finder = await PersonFinder.load({ quality: "lite", eyes: { paths: [own] } });
  try {
    const frames = finder.find([{ image: pyramid.image, timeS: 0 }]);
    const frame = (await frames.next()).value!;
    expect(frame.found).toEqual({ body: true, leftHand: true, rightHand: true });
    const step = (1.25 * (REACH.top + REACH.bottom)) / 0.8 / 384;
    expectPose(frame.pose, poseFromWholebody(pointsOf(133, 1, { x: step, y: step })), 0.12);
  } finally {
    await finder.release();
  }
});
