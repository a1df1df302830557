/** Calibrating a denoiser that stays in its files. */
import { type CalibrationResult, chooseInt8, searchInt8 } from "../../diffusion/calibrate-int8.ts";
import {
  findInt8Weights,
  int8WeightsPath,
  type SearchSettings,
  writeInt8Weights,
} from "../../diffusion/int8-weights.ts";
import { denoiserShape, openLoras } from "../../diffusion/loaded-model.ts";
import type { ModelFolder } from "../../diffusion/model-folder.ts";
import { networkSpecs } from "../../diffusion/network-specs.ts";
import { type StagedNetworkOptions, stagedNetwork } from "../../diffusion/staged-calibration.ts";
import { stageLength, storedSizes } from "../../pipeline/staging.ts";
import { Lane } from "../../runtime/lane.ts";
import { invariant } from "../../tensor/errors.ts";
import { formatDuration } from "../cli/quantities.ts";
import type { CalibrateOptions, Sampling } from "./calibrate-model.ts";

export interface StagedOptions extends CalibrateOptions {
  readonly maxError: number;
  readonly threads: number;
  readonly fingerprint: string;
  readonly scratchFile: string;
}

/**
 * Searches the smoothing, writes all weights in int8 with it, and chooses among them, with a few blocks open at a time.
 * What an earlier run with the same weights and sizes has written is not searched and written again.
 */
export async function calibrateStaged(
  folder: ModelFolder,
  { size, steps, segments, heldOut, common }: Sampling,
  { onNotice, onProgress, signal, mapBeyondBytes, ...options }: StagedOptions,
): Promise<CalibrationResult> {
  const { description } = folder;
  const { maxError, threads, fingerprint, scratchFile } = options;
  const base = await folder.open("dit");
  const { numLayers } = description.dit;
  const blocksPerStage = stageLength(storedSizes(base.tensors), numLayers, 0) ?? numLayers;
  const { guidanceScale, seed } = common;
  const settings: SearchSettings = { ...size, steps, guidanceScale, seed };
  let numEvaluations = 0;
  const lane = new Lane();
  try {
    const network: StagedNetworkOptions = {
      config: description.dit,
      shape: denoiserShape(description, size),
      base,
      loras: await openLoras(folder, []),
      specs: networkSpecs(description).dit,
      lane,
      threads,
      blocksPerStage,
      int8Weights: null,
      ...(mapBeyondBytes !== undefined && { mapBeyondBytes }),
      onEvaluation: (durationMs) =>
        onNotice(`evaluation ${++numEvaluations} of the denoiser took ${formatDuration(durationMs)}`),
    };
    let found = await findInt8Weights(folder, settings);
    if (found) onNotice("goes on with the smoothing and the weights that an earlier run has left");
    else {
      const groups = await searchInt8({ ...common, network: stagedNetwork(network), segments }, scratchFile);
      await writeInt8Weights(await int8WeightsPath(folder.path), base, groups, {
        fingerprint,
        settings,
        signal,
        onProgress: (progress) => onProgress({ name: "int8", ...progress }),
      });
      found = await findInt8Weights(folder, settings);
      invariant(found, "what was written can be read");
    }
    const { checkpoint: int8Weights, groups } = found;
    const int8 = stagedNetwork({ ...network, int8Weights });
    return await chooseInt8({ ...common, network: int8, segments: heldOut }, groups, maxError);
  } finally {
    await lane.close();
  }
}
