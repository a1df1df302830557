import type { WanDiTGraph } from "../models/wan-dit/build.ts";
import { HANDED_ON } from "../models/wan-dit/stages.ts";
import type { Lane } from "../runtime/lane.ts";
import { type Feeds, type RunOptions, type Slot, newSlot } from "../runtime/runner.ts";
import type { Session } from "../runtime/session.ts";
import { type Tensor } from "../tensor/tensor.ts";

export interface StagedRunnerOptions {
  /** Builders of the stages' graphs; see `wanDiTStages`. */
  readonly stages: readonly (() => WanDiTGraph)[];
  readonly lane: Lane;
  /** A session of a stage in the lane, its weights bound. */
  readonly open: (stage: WanDiTGraph) => Promise<Session>;
}

/**
 * Runs a model stage by stage: each is opened when its turn comes and released before the next one, so that the engine
 * never maps, or holds, the weights of more than one. What stages hand on stays in the lane's memory.
 */
export class StagedRunner {
  constructor(private readonly options: StagedRunnerOptions) {}

  /**
   * Computes the outputs of all stages.
   * @param feeds values of the stages' inputs; what no stage takes is not used
   */
  async run(feeds: Feeds, { signal }: Pick<RunOptions, "signal"> = {}): Promise<Record<string, Tensor>> {
    const { lane } = this.options;
    const handedOn = new Map<string, Slot>();
    const outputs: Record<string, Tensor> = {};
    try {
      for (const build of this.options.stages) {
        signal?.throwIfAborted();
        Object.assign(outputs, await this.runStage(build(), feeds, handedOn, signal));
      }
      return outputs;
    } finally {
      if (!lane.closed) await lane.drop(handedOn.values());
    }
  }

  /** Nothing is held between runs. */
  async release(): Promise<void> {}

  private async runStage(
    graph: WanDiTGraph,
    feeds: Feeds,
    handedOn: Map<string, Slot>,
    signal: AbortSignal | undefined,
  ): Promise<Record<string, Tensor>> {
    const taken: Record<string, Tensor | Slot> = {};
    for (const name of graph.inputs.keys()) {
      const value = handedOn.get(name) ?? feeds[name];
      if (value) taken[name] = value;
    }
    const keep: Record<string, Slot> = {};
    for (const name of graph.outputs.keys()) {
      if (!name.startsWith(HANDED_ON)) continue;
      const value = name.slice(HANDED_ON.length);
      // A run reads its feeds before it writes what it keeps: the new value takes the place of the old one.
      const slot = handedOn.get(value) ?? newSlot();
      handedOn.set(value, slot);
      keep[name] = slot;
    }
    const session = await this.options.open(graph);
    try {
      return await session.run(taken, { keep, ...(signal && { signal }) });
    } finally {
      if (!this.options.lane.closed) await session.release();
    }
  }
}
