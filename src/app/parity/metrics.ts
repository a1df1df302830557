import { join } from "node:path";
import { z } from "zod";
import { featureStatistics, frechetDistance } from "../../evaluation/frechet.ts";
import { l1 } from "../../evaluation/l1.ts";
import { pck, type JointComparison, type PckScale } from "../../evaluation/pck.ts";
import { meanSquaredError, psnr } from "../../evaluation/psnr.ts";
import { lumaSsim, ssim } from "../../evaluation/ssim.ts";
import { imageFromBytes, type Image } from "../../media/pixels.ts";
import { openSafetensors, type Checkpoint } from "../../runtime/safetensors.ts";
import { invariant } from "../../tensor/errors.ts";
import {
  difference,
  readConfig,
  readJson,
  parityRow,
  toleranceSchema,
  unknownRow,
  type ParityCheck,
  type ParityRow,
} from "./rows.ts";

const configSchema = z.object({
  tolerance: z.object({
    psnr: toleranceSchema,
    l1: toleranceSchema,
    ssim: toleranceSchema,
    frechet: toleranceSchema,
    pck: toleranceSchema,
  }),
});
type Tolerances = z.infer<typeof configSchema>["tolerance"];

const point = z.tuple([z.number(), z.number()]);
const valuesSchema = z.union([z.number(), z.array(z.number())]);
const expectedSchema = z.object({
  video: z.record(z.string(), z.record(z.string(), valuesSchema)),
  frechet: z.record(z.string(), z.number()),
  pck: z
    .object({
      gt: z.array(z.array(point)),
      pred: z.array(z.array(point)),
      visible: z.array(z.array(z.boolean())),
    })
    .catchall(z.number()),
});
type Expected = z.infer<typeof expectedSchema>;

export const metricsCheck: ParityCheck = {
  folder: "metrics",
  async run(dir) {
    const { tolerance } = await readConfig(dir, configSchema);
    const expected = await readJson(join(dir, "expected.json"), expectedSchema);
    const inputs = await openSafetensors(join(dir, "inputs.safetensors"));
    const outputs = await openSafetensors(join(dir, "outputs.safetensors"));
    const truth = await readVideo(inputs, "gt");
    const rows: ParityRow[] = [];
    for (const [name, golden] of Object.entries(expected.video)) {
      const video = inputs.tensors.has(name) ? await readVideo(inputs, name) : truth;
      for (const [quantity, value] of Object.entries(golden)) {
        rows.push(videoRow(`${name} ${quantity}`, quantity, truth, video, value, tolerance));
      }
    }
    rows.push(...(await statisticsRows(inputs, outputs)));
    rows.push(...(await frechetRows(inputs, expected.frechet, tolerance.frechet)));
    rows.push(...pckRows(expected.pck, truth[0]!, tolerance.pck));
    return rows;
  },
};

/** [T, H, W, 3] bytes as frames. */
async function readVideo(inputs: Checkpoint, name: string): Promise<Image[]> {
  const { shape, data } = await inputs.readTensor(name);
  const [numFrames = 0, height = 0, width = 0] = shape;
  invariant(data instanceof Uint8Array, `"${name}" is a video of bytes`);
  const frameBytes = height * width * 3;
  return Array.from({ length: numFrames }, (_, t) =>
    imageFromBytes(width, height, data.subarray(t * frameBytes, (t + 1) * frameBytes)),
  );
}

/** Quantities by the name they have up to `_per_frame` and `_mean`. */
const FRAME_METRICS: Record<string, (a: Image, b: Image) => number> = {
  mse: (a, b) => meanSquaredError(a.data, b.data),
  psnr: (a, b) => psnr(a.data, b.data),
  l1: (a, b) => l1(a.data, b.data),
  ssim_uniform7: (a, b) => ssim(a, b, "uniform7"),
  ssim_gauss11: (a, b) => ssim(a, b, "gaussian11"),
  ssim_gauss11_gray601: (a, b) => lumaSsim(a, b, "gaussian11"),
};

function videoRow(
  name: string,
  quantity: string,
  truth: readonly Image[],
  video: readonly Image[],
  golden: number | number[],
  tolerance: Tolerances,
): ParityRow {
  const allowed = quantity.startsWith("l1")
    ? tolerance.l1
    : quantity.startsWith("ssim")
      ? tolerance.ssim
      : tolerance.psnr;
  if (quantity === "psnr_of_global_mse") {
    const errors = truth.map((frame, t) => meanSquaredError(frame.data, video[t]!.data));
    return parityRow(
      name,
      difference([10 * Math.log10(255 ** 2 / mean(errors))], [golden as number], "absolute"),
      allowed,
    );
  }
  const [, key = "", reduction] = /^(.+?)_(per_frame|mean)(?:_.*)?$/.exec(quantity) ?? [];
  const metric = FRAME_METRICS[key];
  if (!metric) return unknownRow(name);
  const values = truth.map((frame, t) => metric(frame, video[t]!));
  return parityRow(
    name,
    difference(
      reduction === "mean" ? [mean(values)] : values,
      typeof golden === "number" ? [golden] : golden,
      "absolute",
    ),
    allowed,
  );
}

/** Relative: golden float64 statistics differ from ours by the order of summation alone. */
const STATISTICS_TOLERANCE = 1e-12;

async function statisticsRows(inputs: Checkpoint, outputs: Checkpoint): Promise<ParityRow[]> {
  return Promise.all(
    [...outputs.tensors.keys()].map(async (name) => {
      const [, kind, suffix] = /^(mu|sigma)_(\w+)$/.exec(name) ?? [];
      if (kind === undefined) return unknownRow(name);
      const { shape, data } = await inputs.readFloat32(`features_${suffix}`);
      const statistics = featureStatistics(data, shape[1]!);
      const golden = (await outputs.readTensor(name)).data as Float64Array;
      return parityRow(
        name,
        difference(kind === "mu" ? statistics.mean : statistics.covariance, golden, "relative"),
        STATISTICS_TOLERANCE,
      );
    }),
  );
}

async function frechetRows(
  inputs: Checkpoint,
  golden: Expected["frechet"],
  relative: number,
): Promise<ParityRow[]> {
  const { shape, data: a } = await inputs.readFloat32("features_a");
  const { data: b } = await inputs.readFloat32("features_b");
  const dims = shape[1]!;
  const few = (golden["fewer_samples_n"] ?? 0) * dims;
  const distance = (x: ArrayLike<number>, y: ArrayLike<number>): number =>
    frechetDistance(featureStatistics(x, dims), featureStatistics(y, dims));
  return Object.entries(golden).flatMap(([name, value]) => {
    const relativeRow = (ours: number, allowed: number) => [
      parityRow(name, Math.abs(ours / value - 1), allowed),
    ];
    const shift = /^fd_mean_shift_only_by_([\d.]+)$/.exec(name)?.[1];
    if (shift !== undefined)
      return relativeRow(
        distance(
          a,
          Float64Array.from(a, (x) => x + Number(shift)),
        ),
        relative,
      );
    switch (name) {
      case "fd":
      case "fd_via_symmetric_eigen":
        return relativeRow(distance(a, b), relative);
      case "fd_identical":
        return [parityRow(name, Math.abs(distance(a, a)), 1e-4)];
      case "fd_fewer_samples_than_dims":
        // The reference's general matrix square root is itself inexact for singular matrices.
        return relativeRow(distance(a.subarray(0, few), b.subarray(0, few)), 1e-3);
      case "fewer_samples_n":
        return [];
      default:
        return [unknownRow(name)];
    }
  });
}

function pckRows(golden: Expected["pck"], { width, height }: Image, tolerance: number): ParityRow[] {
  const { gt, pred, visible, ...shares } = golden;
  const toPoint = ([x, y]: z.infer<typeof point>) => ({ x, y });
  const frames = gt.map((joints, t): JointComparison => ({
    truth: joints.map(toPoint),
    predicted: pred[t]!.map(toPoint),
    visible: visible[t]!,
  }));
  return Object.entries(shares).map(([name, value]) => {
    const [, alpha, scaleName, ofFrames] = /^pck@([\d.]+)_(bbox|image)(_mean_of_frames)?$/.exec(name) ?? [];
    if (alpha === undefined) return unknownRow(name);
    const scale: PckScale | undefined = scaleName === "image" ? () => Math.max(width, height) : undefined;
    const ours = ofFrames
      ? mean(frames.map((frame) => pck([frame], Number(alpha), scale)))
      : pck(frames, Number(alpha), scale);
    // A mean of equal shares may differ in the last bit of float64.
    return parityRow(name, Math.abs(ours - value), ofFrames ? tolerance + Number.EPSILON : tolerance);
  });
}

function mean(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0) / values.length;
}
