/** Eyes of ONNX models that somebody has, in the place of the embedded ones. */
import { type BodyPoint, type Keypoint, type PoseKeypoints, bodyIndex } from "../../media/pose-keypoints.ts";
import { UserError, invariant } from "../../tensor/errors.ts";
import { float32 } from "../../tensor/tensor.ts";
import type { DetectedPerson, Eyes, Place, SeenBody } from "../eyes.ts";
import type { ImagePyramid, Point, Region } from "../region.ts";
import {
  BOX_PADDING,
  type CropBox,
  IMAGENET_CHANNELS,
  RTMDET_CHANNELS,
  SAPIENS_CHANNELS,
  YOLOX_CHANNELS,
  fromCrop,
  letterboxCrop,
  paddedBox,
  sampleCrop,
  topDownCrop,
  unbiasedCrop,
} from "./crop.ts";
import { decodeBoxes, decodeYolox } from "./decode-boxes.ts";
import { decodeHeatmaps, decodeSimcc } from "./decode-points.ts";
import type { OnnxModels, OpenModel } from "./open-models.ts";
import { type DetectorSignature, type PoseSignature, numCellsOf } from "./signature.ts";
import { landmarksFromPose, poseFromPoints } from "./point-sets.ts";

/** A region's box is this wide for its height: the shape that pose networks see people in. */
const BOX_ASPECT = 3 / 4;
/** A mean score of the body's points below means that there is nobody. */
const MIN_SCORE = 0.3;
/** Points below do not count for where a body is. */
const SEEN = 0.3;

/**
 * People found by `detector` and their poses by `pose`, each in the place of what `others` would do. No pose network
 * gives masks: with the option `mask`, those are of `others`, which looks where `pose` has seen somebody.
 */
export class OnnxEyes implements Eyes {
  private readonly detector: OpenModel<DetectorSignature> | undefined;
  private readonly pose: OpenModel<PoseSignature> | undefined;

  constructor(
    private readonly models: OnnxModels,
    private readonly others: Eyes,
    private readonly options: { readonly mask?: boolean } = {},
  ) {
    this.detector = models.get("detector");
    this.pose = models.get("pose");
  }

  async detect(frame: ImagePyramid, enough: number): Promise<DetectedPerson[]> {
    if (!this.detector) return this.others.detect(frame, enough);
    const people = await detectPersons(this.detector, frame);
    return people.toSorted((a, b) => b.region.size - a.region.size);
  }

  async look(frame: ImagePyramid, region: Region): Promise<SeenBody | null> {
    if (!this.pose) return this.others.look(frame, region);
    const body = await lookForPose(this.pose, frame, region);
    if (!body || !this.options.mask) return body;
    const masked = await this.others.look(frame, region);
    return { ...body, pose: { ...body.pose, mask: masked?.pose.mask ?? null } };
  }

  async release(): Promise<void> {
    await Promise.all([this.models.release(), this.others.release()]);
  }
}

/** Runs a model on one picture [3, height, width]; its outputs in the order of the signature. */
export async function runModel({ path, session, signature }: OpenModel, pixels: Float32Array) {
  const { input, width, height } = signature;
  const image = float32(pixels, [1, 3, height, width]);
  const outputs = await session.run({ [input]: image }, { transfer: "all" });
  return signature.outputs.map((name) => {
    const output = outputs[name];
    invariant(output, `${path} gave no ${name}`);
    return output;
  });
}

async function detectPersons(
  model: OpenModel<DetectorSignature>,
  frame: ImagePyramid,
): Promise<DetectedPerson[]> {
  const { signature, path } = model;
  const crop = letterboxCrop(frame, signature);
  // Exports of both detectors look the same when they give finished boxes: the name of the file tells which it is.
  const isYolox = signature.form === "yolox" || /yolox/i.test(path);
  const outputs = await runModel(model, sampleCrop(frame, crop, isYolox ? YOLOX_CHANNELS : RTMDET_CHANNELS));
  const [rows, labels] = [floats(outputs[0]!.data, model), outputs[1]?.data];
  const boxes =
    signature.form === "yolox"
      ? decodeYolox(rows, checkedRowLength(outputs[0]!.shape, model), signature)
      : decodeBoxes(rows, labels as ArrayLike<number | bigint>);
  return boxes.map(({ left, top, right, bottom, score }) => {
    // Boxes count from the corner of the first pixel, crops from its centre.
    const corners = [fromCrop(crop, left - 0.5, top - 0.5), fromCrop(crop, right - 0.5, bottom - 0.5)];
    const { center, height } = paddedBox(corners, BOX_ASPECT);
    return { score, region: { center, size: height, rotation: 0 } };
  });
}

/** YOLOX exports with free axes say only now how many cells there are. */
function checkedRowLength(
  shape: readonly number[],
  { path, signature }: OpenModel<DetectorSignature>,
): number {
  const numCells = numCellsOf(signature);
  const [, cells, rowLength] = shape;
  if (shape.length === 3 && cells === numCells && rowLength! > 5) return rowLength!;
  throw new UserError(
    `${path} gave [${shape.join(", ")}] for a picture of ${signature.width}x${signature.height}; expected ` +
      `[1, ${numCells}, 5 + classes], the raw rows of a YOLOX head`,
  );
}

export function floats(data: unknown, { path }: OpenModel): Float32Array {
  if (data instanceof Float32Array) return data;
  throw new UserError(`${path} gives no 32-bit floats; expected a model exported in float32`);
}

async function lookForPose(
  model: OpenModel<PoseSignature>,
  frame: ImagePyramid,
  region: Region,
): Promise<SeenBody | null> {
  const { signature } = model;
  const { width, height, form, numPoints } = signature;
  const aspect = width / height;
  const box: CropBox = { center: region.center, width: region.size * aspect, height: region.size };
  const isSimcc = form === "simcc";
  const crop = isSimcc ? topDownCrop(box, signature) : unbiasedCrop(box, signature);
  const outputs = await runModel(
    model,
    sampleCrop(frame, crop, isSimcc ? IMAGENET_CHANNELS : SAPIENS_CHANNELS),
  );
  const values = outputs.map(({ data }) => floats(data, model));
  const points = isSimcc
    ? decodeSimcc(values[0]!, values[1]!, numPoints)
    : decodeHeatmaps(values[0]!, { rows: height / 4, columns: width / 4 }, signature);
  const pose = poseFromPoints(
    points.map(({ x, y, score }) => ({ ...fromCrop(crop, x, y), score })),
    numPoints,
  );
  const score = CORE.reduce((sum, name) => sum + pose.body[bodyIndex(name)]!.score, 0) / CORE.length;
  if (score < MIN_SCORE) return null;
  const seen = pose.body.filter((point) => point.score >= SEEN);
  const next = paddedBox(seen, BOX_ASPECT);
  return {
    pose: { landmarks: landmarksFromPose(pose), score, region, mask: null, keypoints: pose },
    nextRegion: { center: next.center, size: next.height, rotation: 0 },
    place: placeOf(pose),
  };
}

/** The points that make a person. */
const CORE: readonly BodyPoint[] = ["nose", "leftShoulder", "rightShoulder", "leftHip", "rightHip"];

/** Where a body is, as the embedded networks say it. */
function placeOf(pose: PoseKeypoints): Place {
  const at = (name: BodyPoint): Keypoint => pose.body[bodyIndex(name)]!;
  const [left, right] = [at("leftHip"), at("rightHip")];
  const center: Point = { x: (left.x + right.x) / 2, y: (left.y + right.y) / 2 };
  const reach = (["nose", "leftAnkle", "rightAnkle"] as const)
    .map(at)
    .filter(({ score }) => score >= SEEN)
    .map(({ x, y }) => Math.hypot(x - center.x, y - center.y));
  return { center, size: 2 * BOX_PADDING * Math.max(1, ...reach) };
}
