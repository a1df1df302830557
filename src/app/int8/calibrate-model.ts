/** `posegen models calibrate`: prepares a model to run in int8. */
import { dirname, join } from "node:path";
import {
  type CalibrationOptions,
  type CalibrationResult,
  type CalibrationSegment,
  chooseInt8,
  searchInt8,
} from "../../diffusion/calibrate-int8.ts";
import { heldNetwork } from "../../diffusion/calibration-network.ts";
import { writeInt8Calibration } from "../../diffusion/int8-calibration.ts";
import { int8Path, weightsFingerprint } from "../../diffusion/int8-file.ts";
import { LoadedModel, type SegmentSize, denoiserShape } from "../../diffusion/loaded-model.ts";
import { type ModelFolder, openModelFolder } from "../../diffusion/model-folder.ts";
import { flowMatchSchedule } from "../../diffusion/schedule.ts";
import { staysInFiles } from "../../runtime/shared-weights.ts";
import { UserError } from "../../tensor/errors.ts";
import type { TransferOptions } from "../models/transfer.ts";
import { calibrateStaged } from "./calibrate-staged.ts";
import { sampleSegments } from "./sample-segments.ts";

/** Error of the velocity that is wanted, relative to its root mean square. */
export const DEFAULT_MAX_ERROR = 0.01;

export interface CalibrateRequest {
  /** Model folder. */
  readonly model: string;
  /** More than 0; `DEFAULT_MAX_ERROR` by default. */
  readonly maxError?: number | undefined;
  /** Of what is generated; absent: as the model was trained, or small for a model that stays in its files. */
  readonly size?: Pick<SegmentSize, "width" | "height"> | undefined;
  /** 4k + 1 frames of a segment. */
  readonly segmentFrames?: number | undefined;
  readonly steps?: number | undefined;
  readonly threads: number;
}

export interface CalibrateOptions extends TransferOptions {
  /** For tests: see `staysInFiles`. */
  readonly mapBeyondBytes?: number;
}

export interface CalibrateReport extends CalibrationResult {
  /** The file that was written. */
  readonly path: string;
}

/** What a calibration generates, and how: the same of both kinds of model. */
export interface Sampling {
  readonly size: SegmentSize;
  readonly steps: number;
  readonly segments: readonly CalibrationSegment[];
  readonly heldOut: readonly CalibrationSegment[];
  /** All but the network and the segments. */
  readonly common: Omit<CalibrationOptions, "network" | "segments">;
}

/** Enough steps for activations of early, middle and late ones, where each takes minutes. */
const STAGED_STEPS = 8;
const STAGED_FRAMES = 17;
/** The longer side; the other keeps the model's form, in multiples of 16. */
const STAGED_SIDE = 256;

/**
 * Lets a model generate segments of rendered dancers, chooses its int8 layers and their smoothing by what happens
 * inside, and writes both beside its weights. A denoiser that stays in its files is calibrated in stages, on segments
 * that are small by default, and its weights in int8 become a file as well.
 * @throws UserError when a size does not suit the model, the folder cannot be written to, or the disk has no room
 */
export async function calibrateModel(
  request: CalibrateRequest,
  options: CalibrateOptions,
): Promise<CalibrateReport> {
  const { model: path, maxError = DEFAULT_MAX_ERROR, threads } = request;
  if (!(maxError > 0)) throw new UserError(`an error of ${maxError} is asked for; expected more than 0`);
  const folder = await openModelFolder(path);
  const isStaged = staysInFiles(await folder.open("dit"), options.mapBeyondBytes);
  const model = await LoadedModel.of(folder, { device: "cpu", threads });
  const fingerprint = await weightsFingerprint(folder);
  const target = await int8Path(path);
  const scratchFile = join(dirname(target), ".partial-int8-rows");
  let result: CalibrationResult;
  try {
    const sampling = await sample(model, folder, request, options, isStaged);
    const { common, segments, heldOut, size } = sampling;
    if (isStaged) {
      // Nothing of it is needed any more, and its VAE takes as much memory as the stages.
      await model.release();
      result = await calibrateStaged(folder, sampling, {
        ...options,
        maxError,
        threads,
        fingerprint,
        scratchFile,
      });
    } else {
      const { description } = folder;
      const network = heldNetwork({
        config: description.dit,
        shape: denoiserShape(description, size),
        weights: {
          phase1: await model.denoiserWeights("phase1"),
          phase2: await model.denoiserWeights("phase2"),
        },
        threads,
      });
      const groups = await searchInt8({ ...common, network, segments }, scratchFile);
      result = await chooseInt8({ ...common, network, segments: heldOut }, groups, maxError);
    }
  } finally {
    await model.release();
  }
  const { velocityError } = result;
  const groups = result.groups.filter(({ isQuantized }) => isQuantized);
  await writeInt8Calibration(target, { groups, velocityError, fingerprint });
  return { ...result, path: target };
}

async function sample(
  model: LoadedModel,
  { description }: ModelFolder,
  request: CalibrateRequest,
  { onNotice: announce, signal }: CalibrateOptions,
  isStaged: boolean,
): Promise<Sampling> {
  const { defaults } = description;
  const { width, height } = request.size ?? (isStaged ? smallSize(defaults) : defaults);
  const numFrames =
    request.segmentFrames ??
    (isStaged ? Math.min(STAGED_FRAMES, defaults.segmentFrames) : defaults.segmentFrames);
  const steps = request.steps ?? (isStaged ? Math.min(STAGED_STEPS, defaults.steps) : defaults.steps);
  if (!Number.isInteger(steps) || steps < 1)
    throw new UserError(`${steps} steps; expected a whole number from 1`);
  const size = { width, height, numFrames };
  denoiserShape(description, size);
  const [segments, heldOut] = [await sampleSegments(model, size, 0), await sampleSegments(model, size, 1)];
  await model.freeTextEncoder();
  const numSegments = segments.length + heldOut.length;
  announce(`generates ${numSegments} segments of ${numFrames} frames of ${width}x${height} in float32`);
  const schedule = flowMatchSchedule(steps, { shift: defaults.shift });
  const common = { schedule, guidanceScale: defaults.guidanceScale, seed: 0, announce, signal };
  return { size, steps, segments, heldOut, common };
}

function smallSize({
  width,
  height,
}: Pick<SegmentSize, "width" | "height">): Pick<SegmentSize, "width" | "height"> {
  const scale = Math.min(1, STAGED_SIDE / Math.max(width, height));
  const rounded = (side: number): number => Math.max(16, 16 * Math.round((scale * side) / 16));
  return { width: rounded(width), height: rounded(height) };
}
