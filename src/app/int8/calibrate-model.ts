/** `posegen models calibrate`: prepares a model to run in int8. */
import { type CalibrationResult, calibrateInt8 } from "../../diffusion/calibrate-int8.ts";
import { int8Path, weightsFingerprint, writeInt8Calibration } from "../../diffusion/int8-calibration.ts";
import { LoadedModel, denoiserShape } from "../../diffusion/loaded-model.ts";
import { openModelFolder } from "../../diffusion/model-folder.ts";
import { flowMatchSchedule } from "../../diffusion/schedule.ts";
import { MAP_BEYOND_BYTES } from "../../runtime/shared-weights.ts";
import { UserError } from "../../tensor/errors.ts";
import { sizeOf } from "../../tensor/tensor.ts";
import { sampleSegments } from "./sample-segments.ts";

/** Error of the velocity that is wanted, relative to its root mean square. */
export const DEFAULT_MAX_ERROR = 0.01;

export interface CalibrateRequest {
  /** Model folder. */
  readonly model: string;
  /** More than 0; `DEFAULT_MAX_ERROR` by default. */
  readonly maxError?: number;
  readonly threads: number;
}

export interface CalibrateReport extends CalibrationResult {
  /** The file that was written. */
  readonly path: string;
}

/**
 * Lets a model generate segments of rendered dancers, chooses its int8 layers and their smoothing by what happens
 * inside, and writes both beside its weights.
 * @throws UserError when the model is too large to be held in float32, or cannot be written to
 */
export async function calibrateModel(
  { model: path, maxError = DEFAULT_MAX_ERROR, threads }: CalibrateRequest,
  announce: (message: string) => void,
): Promise<CalibrateReport> {
  if (!(maxError > 0)) throw new UserError(`an error of ${maxError} is asked for; expected more than 0`);
  const folder = await openModelFolder(path);
  const base = await folder.open("dit");
  const bytes = [...base.tensors.values()].reduce((sum, { shape }) => sum + 4 * sizeOf(shape), 0);
  if (bytes > MAP_BEYOND_BYTES) {
    throw new UserError(
      `the denoiser of ${path} takes ${(bytes / 2 ** 30).toFixed(1)} GiB in float32; models up to 2 GiB can be calibrated`,
    );
  }
  const { description } = folder;
  const { width, height, segmentFrames: numFrames, steps, shift, guidanceScale } = description.defaults;
  const size = { width, height, numFrames };
  const model = await LoadedModel.of(folder, { device: "cpu", threads });
  try {
    const [segments, heldOut] = [await sampleSegments(model, size, 0), await sampleSegments(model, size, 1)];
    const numSegments = segments.length + heldOut.length;
    announce(`generates ${numSegments} segments of ${numFrames} frames of ${width}x${height} in float32`);
    const result = await calibrateInt8({
      config: description.dit,
      shape: denoiserShape(description, size),
      weights: {
        phase1: await model.denoiserWeights("phase1"),
        phase2: await model.denoiserWeights("phase2"),
      },
      segments,
      heldOut,
      schedule: flowMatchSchedule(steps, { shift }),
      guidanceScale,
      seed: 0,
      maxError,
      threads,
      announce,
    });
    const { velocityError } = result;
    const groups = result.groups.filter(({ isQuantized }) => isQuantized);
    const target = await int8Path(path);
    await writeInt8Calibration(target, {
      groups,
      velocityError,
      fingerprint: await weightsFingerprint(folder),
    });
    return { ...result, path: target };
  } finally {
    await model.release();
  }
}
