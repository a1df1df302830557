/** One model's weights in one lane, shared by every session of the model there. */
import { type Graph, type HalfDType, matrixParams, sameShape, serialize } from "../graph/index.ts";
import { blockWiseKeys, linearParams, readBlocks, widenAtStart, widenAtUse } from "../graph/index.ts";
import type { BlockBits } from "../tensor/block-wise.ts";
import { invariant } from "../tensor/errors.ts";
import { type Tensor, sizeOf } from "../tensor/tensor.ts";
import { DEVICES } from "./device-table.ts";
import { locateWeights } from "./external-weights.ts";
import type { Lane } from "./lane.ts";
import { type Slot, type TransferOptions, newSlot } from "./runner.ts";
import type { Checkpoint, TensorEntry } from "./safetensors.ts";
import { Session, type SessionOptions } from "./session.ts";
import { isDense } from "./tensor-file.ts";
import { checkWeights, readWeight } from "./weights.ts";

/** Models whose weights take more bytes than this as float32 stay in their files. */
export const MAP_BEYOND_BYTES = 2 ** 31;

/** Whether a model is too large to be held in memory as float32, and stays in its files. */
export function staysInFiles(
  { tensors }: Pick<Checkpoint, "tensors">,
  mapBeyondBytes = MAP_BEYOND_BYTES,
): boolean {
  return [...tensors.values()].reduce((sum, { shape }) => sum + 4 * sizeOf(shape), 0) > mapBeyondBytes;
}

export interface SharedWeightsOptions {
  /** For messages, e.g. "the denoiser". */
  readonly model: string;
  /**
   * Models whose weights take more bytes than this as float32 stay in their files, which are mapped into memory;
   * by default `MAP_BEYOND_BYTES`.
   */
  readonly mapBeyondBytes?: number;
}

type WeightedSessionOptions = Omit<SessionOptions, "lane" | "inputs" | "transfer" | "externalFolder">;

interface Held {
  readonly slot: Slot;
  readonly shape: readonly number[];
}

/**
 * The weights of a model for any number of its graphs: plain, capturing keys and values, sharing them …
 *
 * Small models: each weight is read when the first graph needs it, widened to float32 and held in the lane.
 * Large ones stay in their files as they are, and 16-bit weights are widened when a run uses them (on the CPU)
 * or when a session is made (on other devices); weights in blocks of 8 or 4 bits are widened by the engine; only the
 * small rest is read.
 *
 * Weights given with `set` go before the checkpoint's and can be replaced between runs: that swaps one LoRA for
 * another under all sessions at once, over the same base weights.
 */
export class SharedWeights {
  private readonly held = new Map<string, Held>();
  /** Keys that a session reads from their file. */
  private readonly mapped = new Set<string>();
  private readonly isLarge: boolean;
  private last: Promise<unknown> = Promise.resolve();

  constructor(
    readonly lane: Lane,
    readonly checkpoint: Checkpoint,
    private readonly options: SharedWeightsOptions,
  ) {
    this.isLarge = staysInFiles(checkpoint, options.mapBeyondBytes);
  }

  /**
   * A session of a graph, with its parameters bound. The graph is used up: its parameters may change their type.
   * @throws UserError when a weight is missing or mis-shaped, or memory does not suffice
   */
  async session(graph: Graph, options: WeightedSessionOptions = {}): Promise<Session> {
    // One after another, so that no two read the same weight.
    const session = this.last.then(() => this.build(graph, options));
    this.last = session.catch(() => {});
    return session;
  }

  /**
   * Gives weights that go before the checkpoint's, or replaces such weights: for all sessions, from their next
   * run on. Keys that the checkpoint also has must be given before the first session that uses them.
   */
  async set(weights: Readonly<Record<string, Tensor>>, options: TransferOptions = {}): Promise<void> {
    for (const key of Object.keys(weights)) {
      invariant(!this.mapped.has(key), `${key} is read from its file and cannot be replaced`);
    }
    await this.hold(weights, options);
  }

  /** Frees the weights. Sessions over them cannot run any more, and are still to be released. */
  async release(): Promise<void> {
    const slots = [...this.held.values()].map(({ slot }) => slot);
    this.held.clear();
    if (!this.lane.closed) await this.lane.drop(slots);
  }

  private async build(graph: Graph, options: WeightedSessionOptions): Promise<Session> {
    const fresh = [...graph.params.values()].filter(({ name }) => !this.held.has(name));
    checkWeights(fresh, this.checkpoint, this.options.model);
    const inFiles = this.isLarge ? this.leaveInFiles(graph, options) : new Map<string, TensorEntry>();
    const bound = [...graph.params.values()].filter(({ name }) => !inFiles.has(name));
    for (const { name, shape, dtype } of bound) {
      if (this.held.has(name)) continue;
      const tensor = await readWeight({ name, shape, dtype }, this.checkpoint);
      await this.hold({ [name]: tensor }, { transfer: "all" });
    }
    const inputs = Object.fromEntries(bound.map(({ name, shape }) => [name, this.slotOf(name, shape)]));
    const common = { ...options, lane: this.lane, inputs };
    if (inFiles.size === 0) return Session.create(serialize(graph), common);
    const { locations, externalFolder } = await locateWeights(inFiles);
    return Session.create(serialize(graph, locations), { ...common, externalFolder });
  }

  /** Chooses the weights to leave in their files and makes the graph read them in the type they have there. */
  private leaveInFiles(graph: Graph, { device = "cpu" }: WeightedSessionOptions): Map<string, TensorEntry> {
    const inFiles = new Map<string, TensorEntry>();
    const halves = new Map<string, HalfDType>();
    const blocks = new Map<string, BlockBits>();
    const linears = linearParams(graph);
    const { widening } = DEVICES[device];
    const widenable = widening === "use" ? matrixParams(graph) : new Set(graph.params.keys());
    for (const { name, dtype } of graph.params.values()) {
      if (this.held.has(name)) continue;
      const entry = this.checkpoint.tensors.get(name)!;
      if (entry.blocks && linears.has(name)) {
        const { bits, values, scale } = entry.blocks;
        const keys = blockWiseKeys(name, bits);
        inFiles.set(keys.values, values).set(keys.scale, scale);
        blocks.set(name, bits);
        this.mapped.add(name);
      }
      // The engine maps dense tensors only.
      if (!isDense(entry)) continue;
      const isHalf = entry.dtype === "float16" || entry.dtype === "bfloat16";
      if (entry.dtype !== dtype && !(isHalf && widenable.has(name))) continue;
      inFiles.set(name, entry);
      this.mapped.add(name);
      if (entry.dtype !== dtype && isHalf) halves.set(name, entry.dtype);
    }
    readBlocks(graph, blocks);
    if (widening === "use") widenAtUse(graph, halves);
    else widenAtStart(graph, halves);
    return inFiles;
  }

  private async hold(
    weights: Readonly<Record<string, Tensor>>,
    { transfer = [] }: TransferOptions,
  ): Promise<void> {
    const contents = Object.entries(weights).map(([key, tensor]) => ({
      slot: this.slotOf(key, tensor.shape),
      tensor,
      transfer: transfer === "all" || transfer.includes(key),
    }));
    await this.lane.put(contents);
  }

  private slotOf(key: string, shape: readonly number[]): Slot {
    const known = this.held.get(key);
    if (!known) {
      const slot = newSlot();
      this.held.set(key, { slot, shape });
      return slot;
    }
    invariant(
      sameShape(known.shape, shape),
      `${key} is held as [${known.shape.join(", ")}], not as [${shape.join(", ")}]`,
    );
    return known.slot;
  }
}
