// Shapes: B batch, L video tokens, R reference tokens, D width.
import { type CarriedName, TOKENS, blockKey } from "../models/wan-dit/parts.ts";
import { type Tensor, zeros } from "../tensor/tensor.ts";
import { type BlockwiseEngines, type EngineOptions, createEngines } from "./blockwise-engines.ts";
import {
  type BlockRange,
  type BlockwiseGraphs,
  type BlockwiseModel,
  type BlockwiseSettings,
  blockwiseGraphs,
} from "./blockwise-graphs.ts";
import { type Carried } from "./blockwise-part.ts";
import { type Batch, type Params, type StepResult, type TrainStep } from "./train.ts";

export type BlockwiseOptions = BlockwiseSettings & Omit<EngineOptions, "scope">;

/**
 * Prepares a training step that holds the weights and activations of one range of blocks at a time.
 *
 * The forward pass keeps the tokens that enter each range, [B, L + R, D], and nothing else. The backward pass goes
 * through the ranges from the last to the first, computes each again and differentiates it: one more forward pass
 * than the whole graph takes. Gradients equal those of `compileTrainStep`.
 *
 * With `frozen`, weights of the blocks that are not trained pass through the memory of two ranges, one in use and one
 * being read; those of embed and head stay in memory. All other parameters are given to each run.
 * @throws UserError when settings or checkpoint do not fit the model
 */
export async function compileBlockwiseStep(
  model: BlockwiseModel,
  options: BlockwiseOptions,
): Promise<TrainStep> {
  const { scope } = model;
  const graphs = blockwiseGraphs(model, options);
  return new BlockwiseStep(graphs, scope, await createEngines(graphs, { ...options, scope }));
}

/** What one run has found so far. */
interface Progress {
  readonly params: Params;
  /** Carried values as embed has made them. */
  readonly carried: Carried;
  /** Adjoints of carried values at the end of the part that is next on the way back. */
  readonly adjoints: Map<CarriedName, Tensor>;
  readonly gradients: Record<string, Float32Array>;
}

class BlockwiseStep implements TrainStep {
  readonly trainable: readonly string[];

  constructor(
    private readonly graphs: BlockwiseGraphs,
    private readonly scope: string,
    private readonly engines: BlockwiseEngines,
  ) {
    this.trainable = [...graphs.trainable.keys()];
  }

  async run(params: Params, batch: Batch): Promise<StepResult> {
    const { embed, embedBackward, head } = this.engines;
    const param = (name: string) => params[name];
    const { end: carried } = await embed.run({ param, batch });
    const run: Progress = { params, carried, adjoints: new Map(), gradients: {} };

    const { starts, tokens } = await this.forward(run);
    const read = new Map([
      ["video", tokens.get("video")!],
      ["headTime", carried.get("headTime")!],
    ] as const);
    const loss = await head.run({ param, batch, carried: read });
    collect(run, loss.gradients, loss.startAdjoints);
    // The head reads no reference tokens: nothing flows back into those of the last block.
    run.adjoints.set("ref", zeros(carried.get("ref")!.shape));
    await this.backward(run, starts);
    if (embedBackward) {
      const { gradients } = await embedBackward.run({ param, batch, endAdjoints: run.adjoints });
      collect(run, gradients);
    }
    return { metrics: loss.metrics, gradients: run.gradients };
  }

  release(): Promise<void> {
    return this.engines.release();
  }

  /** Through all ranges. @returns the tokens that enter each range, and those that leave the last */
  private async forward(run: Progress): Promise<{ starts: Carried[]; tokens: Carried }> {
    const { ranges } = this.graphs;
    const starts: Carried[] = [];
    let tokens: Carried = new Map(TOKENS.map((name) => [name, run.carried.get(name)!]));
    for (const [i, range] of ranges.entries()) {
      starts.push(tokens);
      const param = await this.paramsOf(range, ranges[i + 1] ?? range, run);
      const carried = new Map([...run.carried, ...tokens]);
      tokens = (await this.engines.blocks.get(range.length)!.forward.run({ param, carried })).end;
    }
    return { starts, tokens };
  }

  /** Back through all ranges; uses `starts` up. */
  private async backward(run: Progress, starts: Carried[]): Promise<void> {
    const { ranges } = this.graphs;
    for (const [i, range] of [...ranges.entries()].toReversed()) {
      // After the first range comes the first range of the next step.
      const param = await this.paramsOf(range, ranges[i - 1] ?? range, run);
      const carried = new Map([...run.carried, ...starts.pop()!]);
      const { backward } = this.engines.blocks.get(range.length)!;
      const result = await backward.run({ param, carried, endAdjoints: run.adjoints });
      for (const name of TOKENS) run.adjoints.delete(name);
      const gradients = [...result.gradients].map(
        ([name, gradient]) => [blockKey(this.scope, name, range.first), gradient] as const,
      );
      collect(run, new Map(gradients), result.startAdjoints);
    }
  }

  /** Finds the parameters of a range by their names in its graph: given to the run, or read from the checkpoint. */
  private async paramsOf(
    range: BlockRange,
    next: BlockRange,
    { params }: Progress,
  ): Promise<(name: string) => Tensor | undefined> {
    const stored = (await this.engines.weights?.take(range, next)) ?? {};
    return (name) => stored[name] ?? params[blockKey(this.scope, name, range.first)];
  }
}

/** Takes over gradients, and adds adjoints to those that other parts have left for the same values. */
function collect(
  { gradients, adjoints }: Progress,
  newGradients: ReadonlyMap<string, Float32Array>,
  newAdjoints: Carried = new Map(),
): void {
  for (const [key, gradient] of newGradients) gradients[key] = gradient;
  for (const [name, adjoint] of newAdjoints) {
    const sum = adjoints.get(name)?.data as Float32Array | undefined;
    const more = adjoint.data as Float32Array;
    if (sum) for (let i = 0; i < sum.length; i++) sum[i]! += more[i]!;
    else adjoints.set(name, adjoint);
  }
}
