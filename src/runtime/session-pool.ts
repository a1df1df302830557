/** One graph in several lanes, for work on many independent items such as video frames. */
import type { Tensor } from "../tensor/tensor.ts";
import { invariant } from "../tensor/errors.ts";
import type { Lane } from "./lane.ts";
import type { Feeds, RunOptions, Runner, RunnerOptions, ValueInfo } from "./runner.ts";
import { Session } from "./session.ts";

/**
 * A copy of a graph in each lane; a run goes to the lane with the least to do. Bound inputs are copied to all,
 * so nothing is transferred but feeds, and slots, which belong to one lane, cannot be used.
 */
export class SessionPool implements Runner {
  private constructor(private readonly sessions: readonly Session[]) {}

  static async create(
    model: Uint8Array,
    lanes: readonly Lane[],
    options: Omit<RunnerOptions, "transfer"> = {},
  ): Promise<SessionPool> {
    invariant(lanes.length > 0, "a pool needs a lane");
    return new SessionPool(
      await Promise.all(lanes.map((lane) => Session.create(model, { ...options, lane }))),
    );
  }

  get inputs(): readonly ValueInfo[] {
    return this.sessions[0]!.inputs;
  }

  get outputs(): readonly ValueInfo[] {
    return this.sessions[0]!.outputs;
  }

  async run(feeds: Feeds, options: Omit<RunOptions, "keep"> = {}): Promise<Record<string, Tensor>> {
    const freest = this.sessions.reduce((a, b) => (b.lane.pending < a.lane.pending ? b : a));
    return freest.run(feeds, options);
  }

  async setInputs(inputs: Feeds): Promise<void> {
    await Promise.all(this.sessions.map((session) => session.setInputs(inputs)));
  }

  async release(): Promise<void> {
    await Promise.all(this.sessions.map((session) => session.release()));
  }
}
