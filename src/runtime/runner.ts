/** What every way of running a graph has in common, in this thread (engine.ts) or in another (session.ts). */
import type { DType, Tensor } from "../tensor/tensor.ts";
import type { DeviceName } from "./device-table.ts";

/** An input or output of a graph. A string in the shape is an axis whose size is free. */
export interface ValueInfo {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly (number | string)[];
}

/**
 * A place for one tensor in the memory of an engine's thread. Runs write it (`keep`) and read it (as a feed)
 * without copying it between threads. Sessions of one lane share slots.
 */
export interface Slot {
  readonly slot: number;
}

let numSlots = 0;

/** A new, empty slot. It takes no memory until something is put into it. */
export function newSlot(): Slot {
  return { slot: numSlots++ };
}

/** Values of inputs, by name. */
export type Feeds = Readonly<Record<string, Tensor | Slot>>;

export interface TransferOptions {
  /**
   * Tensors whose buffers the caller gives up, by name: they move to the runner's thread instead of being
   * copied, and their arrays have length 0 afterwards. Views of a part of a buffer are copied all the same.
   */
  readonly transfer?: readonly string[] | "all";
}

export interface RunOptions extends TransferOptions {
  /** Outputs wanted; all by default. All of them are computed in any case. */
  readonly outputs?: readonly string[];
  /** Outputs to leave in slots, by output name. They are not returned. */
  readonly keep?: Readonly<Record<string, Slot>>;
  /**
   * Rejects with the signal's reason. A run that has not begun never does; one that has begun cannot be
   * interrupted and ends in the background (it may still write the slots of `keep`).
   */
  readonly signal?: AbortSignal;
}

/** A graph ready to run. */
export interface Runner {
  /** All inputs of the graph, bound ones included. */
  readonly inputs: readonly ValueInfo[];
  readonly outputs: readonly ValueInfo[];
  /**
   * Computes the outputs. Every input must be bound or fed; a feed takes the place of a bound value.
   * Results belong to the caller. Feeds must stay unchanged until the promise settles; they are the caller's
   * again then, except those named in `transfer`.
   * @throws Error when a feed is missing, unknown, or of another shape or element type; when the engine fails
   */
  run(feeds: Feeds, options?: RunOptions): Promise<Record<string, Tensor>>;
  /**
   * Binds inputs to values they keep from run to run: weights, or another LoRA over the same base weights.
   * A bound tensor must stay unchanged as long as it is bound where the runner is in the same thread.
   */
  setInputs(inputs: Feeds, options?: TransferOptions): Promise<void>;
  /** Frees the engine's memory, after runs already asked for. Releasing twice does nothing. */
  release(): Promise<void>;
}

export type OptimizationLevel = "disabled" | "basic" | "extended" | "all";

export interface RunnerOptions extends TransferOptions {
  /** For messages, e.g. "vae decoder". */
  readonly name?: string;
  /** A device that `resolveDevice` has found usable; the CPU by default. */
  readonly device?: DeviceName;
  /** Threads inside one operation, 1 by default. */
  readonly threads?: number;
  readonly optimization?: OptimizationLevel;
  /** Products of int8 by slower kernels that cannot saturate; see `int8Saturates`. False by default. */
  readonly exactInt8?: boolean;
  /**
   * Absolute folder, free of links, that the model's external initializers lie in. They are mapped into
   * memory and used in place: nothing is packed into copies, so memory does not grow with the weights.
   */
  readonly externalFolder?: string;
  /**
   * Packs constant weights into copies all the same, those of products in int8 above all, which takes memory for them as
   * long as the graph is open, and half the time. False by default.
   */
  readonly packsMapped?: boolean;
  /** Inputs bound from the start; see `setInputs`. `transfer` refers to these. */
  readonly inputs?: Feeds;
}
