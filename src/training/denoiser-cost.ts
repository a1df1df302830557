/** What a pass of a denoiser training takes, before engines are made. */
import { type RunCost, runCost } from "../models/run-cost.ts";
import { sizeOf } from "../tensor/tensor.ts";
import { blockwiseCost } from "./blockwise-cost.ts";
import { blockwiseGraphs } from "./blockwise-graphs.ts";
import {
  type DenoiserNetwork,
  type DenoiserStage,
  blockSettings,
  buildStage,
  modelInTraining,
  trainableOf,
} from "./denoiser-run.ts";
import { addGradients } from "./train.ts";

export interface StageCost extends Omit<RunCost, "effort"> {
  /** Bytes of the parameters that get gradients. */
  readonly trainableBytes: number;
}

export interface DenoiserStageCost extends StageCost {
  /** Bytes in float32 of the other parameters that are in memory at a time, where `frozen` leaves them in their files. */
  readonly frozenBytes: number;
}

/** What one pass of a stage takes, forward and backward, counted from shapes. */
export function stageCost(network: DenoiserNetwork, stage: DenoiserStage): DenoiserStageCost {
  return network.recompute === "blocks" ? blockwiseStageCost(network, stage) : wholeStageCost(network, stage);
}

function blockwiseStageCost(network: DenoiserNetwork, stage: DenoiserStage): DenoiserStageCost {
  const cost = blockwiseCost(blockwiseGraphs(modelInTraining(network, stage), blockSettings(network)));
  return {
    flops: cost.flops,
    weightBytes: cost.weightBytes,
    workingBytes: cost.workingBytes + cost.keptBytes,
    trainableBytes: cost.trainableBytes,
    // Of the blocks one is in use while the next is read.
    frozenBytes: 4 * (cost.frozenAround + 2 * cost.frozenInRange),
  };
}

function wholeStageCost(network: DenoiserNetwork, stage: DenoiserStage): DenoiserStageCost {
  const { graph, loss } = buildStage(network, stage);
  const trainable = addGradients(graph, loss, trainableOf(network));
  const trainableBytes = trainable.reduce((sum, { shape }) => sum + 4 * sizeOf(shape), 0);
  const { flops, workingBytes, weightBytes } = runCost(graph);
  return { flops, workingBytes, weightBytes, trainableBytes, frozenBytes: weightBytes - trainableBytes };
}
