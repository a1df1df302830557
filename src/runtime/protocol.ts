/** What a lane and its thread say to each other. */
import { UserError } from "../tensor/errors.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Feeds, RunnerOptions, Slot, TransferOptions, ValueInfo } from "./runner.ts";

/** Every request a lane can make of its thread. A session is a number that the lane has chosen. */
export interface Requests {
  create: {
    args: { session: number; model: Uint8Array; options: Omit<RunnerOptions, "inputs" | "transfer"> };
    result: { inputs: readonly ValueInfo[]; outputs: readonly ValueInfo[] };
  };
  bind: { args: { session: number; inputs: Feeds }; result: void };
  run: {
    args: {
      session: number;
      feeds: Feeds;
      outputs: readonly string[] | undefined;
      keep: Readonly<Record<string, Slot>>;
    };
    result: Record<string, Tensor>;
  };
  release: { args: { session: number }; result: void };
  put: { args: { tensors: readonly (readonly [slot: number, Tensor])[] }; result: void };
  drop: { args: { slots: readonly number[] }; result: void };
  close: { args: Record<string, never>; result: void };
}

export type Operation = keyof Requests;

export interface Request<O extends Operation = Operation> {
  readonly operation: O;
  readonly args: Requests[O]["args"];
}

/** A lane asks for one thing at a time, so replies need no address. */
export type Reply = { readonly result: unknown } | { readonly error: PortableError };

/** An error in a form that keeps its class across threads. */
export interface PortableError {
  readonly user: boolean;
  readonly message: string;
  readonly stack: string | undefined;
  readonly cause: string | undefined;
}

export function packError(error: unknown): PortableError {
  if (!(error instanceof Error)) {
    return { user: false, message: String(error), stack: undefined, cause: undefined };
  }
  const cause = error.cause instanceof Error ? error.cause.message : undefined;
  return { user: error instanceof UserError, message: error.message, stack: error.stack, cause };
}

export function unpackError({ user, message, stack, cause }: PortableError): Error {
  const options = cause === undefined ? {} : { cause: new Error(cause) };
  const error = user ? new UserError(message, options) : new Error(message, options);
  if (stack !== undefined) error.stack = stack;
  return error;
}

/** A message's tensors and the buffers that move with it. */
export class Parcel {
  readonly transfer: ArrayBuffer[] = [];

  /** The tensor to send: the caller's own when it gives up the whole buffer, else a copy. */
  add(tensor: Tensor, give: boolean): Tensor {
    const { buffer, byteLength } = tensor.data;
    const whole = buffer instanceof ArrayBuffer && buffer.byteLength === byteLength;
    const data = give && whole ? tensor.data : tensor.data.slice();
    this.transfer.push(data.buffer as ArrayBuffer);
    return { dtype: tensor.dtype, shape: tensor.shape, data };
  }

  addAll(values: Feeds, transfer: TransferOptions["transfer"] = []): Feeds {
    return Object.fromEntries(
      Object.entries(values).map(([name, value]) => {
        const give = transfer === "all" || transfer.includes(name);
        return [name, "slot" in value ? value : this.add(value, give)];
      }),
    );
  }
}

/** Cells of the memory shared between a lane and its thread. */
export const BUSY = 0;
export const CLOSING = 1;
