/** What an ONNX model of somebody else is for, told by the shapes of its inputs and outputs. */
import type { ValueInfo } from "../../runtime/runner.ts";
import { UserError } from "../../tensor/errors.ts";

interface ImageInput {
  /** Name and size of the one input: [1, 3, height, width]. */
  readonly input: string;
  readonly width: number;
  readonly height: number;
}

/** Boxes of persons. */
export interface DetectorSignature extends ImageInput {
  readonly role: "detector";
  /**
   * `yolox`: one output [1, cells, 5 + classes] of a YOLOX head, to be decoded, class 0 a person. `boxes`: outputs
   * [1, boxes, 5] and [1, boxes], finished boxes with scores and their classes, as MMDeploy exports RTMDet and YOLOX.
   */
  readonly form: "yolox" | "boxes";
  readonly outputs: readonly string[];
}

/** Points of one person. */
export interface PoseSignature extends ImageInput {
  readonly role: "pose";
  /**
   * `simcc`: outputs [1, points, 2 width] and [1, points, 2 height], RTMPose and DWPose. `heatmaps`: one output
   * [1, points, height / 4, width / 4], Sapiens and other MMPose networks.
   */
  readonly form: "simcc" | "heatmaps";
  /** For SimCC that along x, then that along y. */
  readonly outputs: readonly string[];
  readonly numPoints: PointSet;
}

/** Normals of surfaces, [1, 3, h, w], or scores of the parts of the body, [1, 28, h, w], as of Sapiens. */
export interface MapSignature extends ImageInput {
  readonly role: "normals" | "parts";
  readonly outputs: readonly string[];
}

export type Signature = DetectorSignature | PoseSignature | MapSignature;
export type Role = Signature["role"];

/** 17 points of COCO, 133 of COCO-wholebody, 308 of Goliath. */
export const POINT_SETS = [17, 133, 308] as const;
export type PointSet = (typeof POINT_SETS)[number];

/** Classes of the part segmentation. */
export const NUM_PARTS = 28;

/** Sides of the input of detectors that take any size. */
const DETECTOR_SIDE = 640;

/** Strides of the three grids of a YOLOX head. */
export const YOLOX_STRIDES = [8, 16, 32] as const;

export const ROLES: { readonly [R in Role]: string } = {
  detector: "person boxes (YOLOX, RTMDet)",
  pose: "poses (DWPose, RTMPose, Sapiens)",
  normals: "surface normals (Sapiens)",
  parts: "parts of the body (Sapiens)",
};

/**
 * The role of a model.
 * @param name of the file, for messages
 * @throws UserError when its shapes are of none, stating them
 */
export function recognise(
  inputs: readonly ValueInfo[],
  outputs: readonly ValueInfo[],
  name: string,
): Signature {
  const fail = (reason: string): UserError =>
    new UserError(
      `${name} is no model that can see people: ${reason}; its inputs are ${describe(inputs)}, its outputs ` +
        `${describe(outputs)}. Expected ${Object.values(ROLES).join(", ")}, exported to ONNX in float32`,
    );
  const [input, ...others] = inputs;
  if (!input || others.length > 0 || input.shape.length !== 4 || input.shape[1] !== 3) {
    throw fail("its input is no picture [1, 3, height, width]");
  }
  if (input.dtype !== "float32") throw fail(`its input is ${input.dtype}`);
  if (typeof input.shape[0] === "number" && input.shape[0] !== 1) {
    throw fail(`it takes ${input.shape[0]} pictures at once`);
  }
  const [, , height, width] = input.shape;
  const signature =
    detectorOf(input, outputs) ??
    (typeof height === "number" && typeof width === "number"
      ? (poseOf(input.name, width, height, outputs) ?? mapOf(input.name, width, height, outputs))
      : null);
  if (!signature) throw fail("no known network has these shapes");
  return signature;
}

function detectorOf(input: ValueInfo, outputs: readonly ValueInfo[]): DetectorSignature | null {
  const [height, width] = input.shape
    .slice(2)
    .map((side) => (typeof side === "number" ? side : DETECTOR_SIDE));
  const image = { role: "detector", input: input.name, width: width!, height: height! } as const;
  const boxes = outputs.find(
    ({ shape, dtype }) => shape.length === 3 && shape[2] === 5 && dtype === "float32",
  );
  const labels = outputs.find(({ shape, dtype }) => shape.length === 2 && dtype.startsWith("int"));
  if (boxes && labels && outputs.length === 2) {
    return { ...image, form: "boxes", outputs: [boxes.name, labels.name] };
  }
  const numCells = numCellsOf(image);
  const [rows] = outputs;
  const isYolox =
    outputs.length === 1 &&
    rows!.shape.length === 3 &&
    (rows!.shape[1] === numCells || typeof rows!.shape[1] === "string") &&
    typeof rows!.shape[2] === "number" &&
    rows!.shape[2] > 5;
  return isYolox ? { ...image, form: "yolox", outputs: [rows!.name] } : null;
}

/** Cells of the three grids of a YOLOX head. */
export function numCellsOf({ width, height }: { readonly width: number; readonly height: number }): number {
  return YOLOX_STRIDES.reduce(
    (sum, stride) => sum + Math.floor(width / stride) * Math.floor(height / stride),
    0,
  );
}

function poseOf(
  input: string,
  width: number,
  height: number,
  outputs: readonly ValueInfo[],
): PoseSignature | null {
  const numPoints = POINT_SETS.find((count) => outputs.every(({ shape }) => shape[1] === count));
  if (numPoints === undefined || outputs.length === 0) return null;
  const image = { role: "pose", input, width, height, numPoints } as const;
  const simccOf = (side: number) =>
    outputs.find(({ shape }) => shape.length === 3 && shape[2] === SIMCC_BINS * side)?.name;
  const [x, y] = [simccOf(width), simccOf(height)];
  if (outputs.length === 2 && x !== undefined && y !== undefined && x !== y) {
    return { ...image, form: "simcc", outputs: [x, y] };
  }
  const [maps] = outputs;
  const [, , rows, columns] = maps!.shape;
  const isMap =
    outputs.length === 1 && maps!.shape.length === 4 && rows === height / 4 && columns === width / 4;
  return isMap ? { ...image, form: "heatmaps", outputs: [maps!.name] } : null;
}

/** Bins of SimCC per pixel. */
export const SIMCC_BINS = 2;

function mapOf(
  input: string,
  width: number,
  height: number,
  outputs: readonly ValueInfo[],
): MapSignature | null {
  const [map] = outputs;
  if (outputs.length !== 1 || map!.shape.length !== 4) return null;
  const [, channels, rows, columns] = map!.shape;
  const isScaled =
    typeof rows === "string" || typeof columns === "string" || rows! * width === columns! * height;
  const role = channels === 3 ? "normals" : channels === NUM_PARTS ? "parts" : null;
  return role && isScaled ? { role, input, width, height, outputs: [map!.name] } : null;
}

function describe(values: readonly ValueInfo[]): string {
  return values.map(({ name, shape }) => `${name} [${shape.join(", ")}]`).join(" and ");
}
