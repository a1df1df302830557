/** Calibrating a denoiser that stays in its files: a few blocks are open at a time, and pairs stay beside the base. */
import { int8LinearGroups, observeLinears } from "../models/layers/int8-linears.ts";
import { type WanDiTGraph, type WanDiTShape } from "../models/wan-dit/build.ts";
import { type WanDiTConfig } from "../models/wan-dit/config.ts";
import { wanDiTStages } from "../models/wan-dit/stages.ts";
import { type Lane } from "../runtime/lane.ts";
import { type Checkpoint } from "../runtime/safetensors.ts";
import { type WeightSpec } from "../runtime/weights.ts";
import { type CalibrationNetwork, type Evaluator, present } from "./calibration-network.ts";
import { FinetunedWeights, type PhaseLoras } from "./finetuned-weights.ts";
import { type Int8Layers } from "./int8-calibration.ts";
import { StagedRunner } from "./staged-runner.ts";

export interface StagedNetworkOptions {
  readonly config: WanDiTConfig;
  readonly shape: WanDiTShape;
  readonly base: Checkpoint;
  readonly loras: PhaseLoras;
  readonly specs: readonly WeightSpec[];
  readonly lane: Lane;
  readonly threads: number;
  readonly blocksPerStage: number;
  /** The weights of all groups in int8; null before they have been written. */
  readonly int8Weights: Checkpoint | null;
  /** For tests: see `FinetunedWeightsOptions`. */
  readonly mapBeyondBytes?: number;
  /** Told how long each evaluation took. */
  readonly onEvaluation?: (durationMs: number) => void;
}

/** Memory holds a stage, the finetunings, and what one evaluation hands on or shows of its activations. */
export function stagedNetwork(options: StagedNetworkOptions): CalibrationNetwork {
  const { config, shape, base } = options;
  const observed = (build: () => WanDiTGraph) => (): WanDiTGraph => {
    const graph = build();
    observeLinears(graph, int8LinearGroups(graph));
    return graph;
  };
  const stages = wanDiTStages(config, shape, null, options.blocksPerStage);
  return {
    config,
    shape,
    weightsOf: async (key) => [await base.readFloat32(key)],
    openExact: (isObserved) => open(options, isObserved ? stages.map(observed) : stages, null),
    openInt8: (groups) => open(options, stages, { groups, weights: options.int8Weights }),
  };
}

async function open(
  { base, loras, specs, lane, threads, mapBeyondBytes, onEvaluation }: StagedNetworkOptions,
  stages: readonly (() => WanDiTGraph)[],
  int8: Int8Layers | null,
): Promise<Evaluator> {
  const size = mapBeyondBytes === undefined ? {} : { mapBeyondBytes };
  const weights = await FinetunedWeights.open(base, loras, specs, { lane, int8, ...size });
  const runner = new StagedRunner({
    stages,
    lane,
    open: (graph) => weights.session(graph, "denoiser", { device: "cpu", threads }),
  });
  return {
    // Stages are opened anew in every run, whatever the phase leaves of them.
    async use(phase) {
      await weights.use(phase);
    },
    async run(values) {
      const begin = performance.now();
      const results = await runner.run(present(values));
      onEvaluation?.(performance.now() - begin);
      return results;
    },
    release: () => weights.release(),
  };
}
