/** A graph that runs in a lane: the event loop of the calling thread stays free. */
import type { Tensor } from "../tensor/tensor.ts";
import { Lane } from "./lane.ts";
import type { Feeds, RunOptions, Runner, RunnerOptions, TransferOptions, ValueInfo } from "./runner.ts";

export interface SessionOptions extends RunnerOptions {
  /** The lane to live in; by default one of its own, closed when the session is released. */
  readonly lane?: Lane;
}

let numSessions = 0;

/** A graph in a worker thread. Feeds and results cross between the threads; bound inputs and slots stay. */
export class Session implements Runner {
  private readonly id = numSessions++;
  private releasing: Promise<void> | null = null;
  inputs: readonly ValueInfo[] = [];
  outputs: readonly ValueInfo[] = [];

  private constructor(
    readonly lane: Lane,
    private readonly name: string,
    private readonly ownsLane: boolean,
  ) {}

  /**
   * @param model an ONNX model, copied
   * @throws UserError when memory does not suffice; Error when the engine refuses the model
   */
  static async create(model: Uint8Array, options: SessionOptions = {}): Promise<Session> {
    const { lane, inputs, transfer, ...rest } = options;
    const session = new Session(lane ?? new Lane(), rest.name ?? "graph", lane === undefined);
    try {
      const info = await session.lane.request("create", () => ({
        session: session.id,
        model,
        options: rest,
      }));
      session.inputs = info.inputs;
      session.outputs = info.outputs;
      if (inputs) await session.setInputs(inputs, transfer ? { transfer } : {});
      return session;
    } catch (error) {
      await session.release();
      throw error;
    }
  }

  async run(feeds: Feeds, options: RunOptions = {}): Promise<Record<string, Tensor>> {
    this.checkAlive();
    const { outputs, keep = {}, transfer, signal } = options;
    return this.lane.request(
      "run",
      (parcel) => ({ session: this.id, feeds: parcel.addAll(feeds, transfer), outputs, keep }),
      signal,
    );
  }

  async setInputs(inputs: Feeds, { transfer }: TransferOptions = {}): Promise<void> {
    this.checkAlive();
    await this.lane.request("bind", (parcel) => ({
      session: this.id,
      inputs: parcel.addAll(inputs, transfer),
    }));
  }

  async release(): Promise<void> {
    this.releasing ??= this.end();
    await this.releasing;
  }

  private async end(): Promise<void> {
    if (this.ownsLane) await this.lane.close();
    else if (!this.lane.closed) await this.lane.request("release", () => ({ session: this.id }));
  }

  private checkAlive(): void {
    if (this.releasing) throw new Error(`the ${this.name} has been released`);
  }
}
