/** How much the rank of low-rank pairs matters (paper Tab. 6): equal steps at several ranks, each with several seeds. */
import { numStepsOf } from "../train/config.ts";
import { type Comparison, type ExperimentOptions, compareModels, experimentModel } from "./compare-models.ts";
import type { ExperimentFigures } from "./figures.ts";
import { type Subject, generated } from "./measure.ts";
import type { Phase1Config } from "./trained-model.ts";

export interface LoraRanksOptions extends ExperimentOptions {
  readonly ranks: readonly number[];
  /** Of first weights, clips, noise and drop-outs of a training. */
  readonly trainingSeeds: readonly number[];
}

export interface LoraRanks extends Omit<Comparison, "figures"> {
  readonly trainingSteps: number;
  /** What all trainings start from. */
  readonly start: ExperimentFigures;
  readonly ranks: readonly RankFigures[];
}

export interface RankFigures {
  readonly rank: number;
  readonly alpha: number;
  /** One for each seed. */
  readonly seeds: readonly { readonly seed: number; readonly figures: ExperimentFigures }[];
}

/** @throws UserError when settings, data and earlier runs do not fit together; the signal's reason */
export async function loraRanks(options: LoraRanksOptions): Promise<LoraRanks> {
  const { config, ranks, trainingSeeds, seed: noise } = options;
  const trainingSteps = numStepsOf(config);
  const models: string[] = [];
  for (const rank of ranks) {
    for (const seed of trainingSeeds) {
      const run = `rank-${rank}-seed-${seed}`;
      const own = { ...options, config: atRank({ ...config, seed }, rank) };
      // Pairs change nothing at first: all trainings start from the same.
      if (models.length === 0) models.push(await experimentModel(run, 0, own));
      models.push(await experimentModel(run, trainingSteps, own));
    }
  }
  const subjects: Subject[] = [];
  for (const model of models) subjects.push(await generated(model, "given", noise));
  const { figures, ...comparison } = await compareModels(subjects, models[0]!, options);
  return {
    ...comparison,
    trainingSteps,
    start: figures[0]!,
    ranks: ranks.map((rank, r) => ({
      rank,
      alpha: alphaAt(config, rank),
      seeds: trainingSeeds.map((seed, s) => ({ seed, figures: figures[1 + r * trainingSeeds.length + s]! })),
    })),
  };
}

function atRank(config: Phase1Config, rank: number): Phase1Config {
  return { ...config, lora: { ...config.lora, rank, alpha: alphaAt(config, rank) } };
}

/** Pairs count alpha / rank times: that stays as it is, so that the rank alone changes. */
function alphaAt({ lora }: Phase1Config, rank: number): number {
  return (lora.alpha / lora.rank) * rank;
}
