/** A thread of its own for ONNX Runtime, so that the event loop stays free while graphs run. */
import { Worker } from "node:worker_threads";
import type { Tensor } from "../tensor/tensor.ts";
import { entryPoint } from "./entry-point.ts";
import {
  BUSY,
  CLOSING,
  type Operation,
  Parcel,
  type Reply,
  type Request,
  type Requests,
  unpackError,
} from "./protocol.ts";
import { type Slot, type TransferOptions, newSlot } from "./runner.ts";

/** Builds a request when its turn comes: buffers are copied or handed over no earlier. */
type Prepare<O extends Operation> = (parcel: Parcel) => Requests[O]["args"];

export interface SlotContent {
  readonly slot: Slot;
  readonly tensor: Tensor;
  /** True when the caller gives up the tensor's buffer; false by default, which copies it. */
  readonly transfer?: boolean;
}

interface Job {
  readonly operation: Operation;
  readonly prepare: Prepare<Operation>;
  readonly resolve: (result: unknown) => void;
  readonly reject: (reason: unknown) => void;
}

/**
 * One worker thread that holds any number of sessions and runs one thing at a time, in the order asked for.
 * An idle lane does not keep the process alive; a process that exits waits for the run in progress, because
 * ONNX Runtime cannot be interrupted.
 */
export class Lane {
  private readonly worker: Worker;
  private readonly state = new Int32Array(new SharedArrayBuffer(8));
  private readonly queue: Job[] = [];
  private current: Job | null = null;
  private failure: Error | null = null;
  private closing: Promise<void> | null = null;

  constructor() {
    this.worker = startWorker(this.state);
    this.worker.unref();
    this.worker.on("message", (reply: Reply) => this.finish(reply));
    this.worker.on("error", (cause) =>
      this.fail(new Error(`an engine thread failed: ${cause.message}`, { cause })),
    );
    this.worker.on("exit", (code) => this.fail(new Error(`an engine thread ended with exit code ${code}`)));
    openLanes.add(this.state);
  }

  /** Requests waiting or running. */
  get pending(): number {
    return this.queue.length + (this.current ? 1 : 0);
  }

  /** True from the call of `close` on. */
  get closed(): boolean {
    return this.closing !== null;
  }

  /** Copies or moves tensors into the lane once, for any number of its sessions: weights that sessions share. */
  async hold(
    tensors: Readonly<Record<string, Tensor>>,
    { transfer = [] }: TransferOptions = {},
  ): Promise<Record<string, Slot>> {
    const slots = Object.fromEntries(Object.keys(tensors).map((name) => [name, newSlot()]));
    await this.put(
      Object.entries(tensors).map(([name, tensor]) => ({
        slot: slots[name]!,
        tensor,
        transfer: transfer === "all" || transfer.includes(name),
      })),
    );
    return slots;
  }

  /** Fills slots, or replaces what is in them: every session that is bound to one sees the new value. */
  async put(contents: readonly SlotContent[]): Promise<void> {
    await this.request("put", (parcel) => ({
      tensors: contents.map(
        ({ slot, tensor, transfer = false }) => [slot.slot, parcel.add(tensor, transfer)] as const,
      ),
    }));
  }

  /** Empties slots, which frees their memory. */
  async drop(slots: Iterable<Slot>): Promise<void> {
    const numbers = [...slots].map(({ slot }) => slot);
    await this.request("drop", () => ({ slots: numbers }));
  }

  /** Releases all sessions and ends the thread, after everything already asked for. */
  async close(): Promise<void> {
    this.closing ??= this.end();
    await this.closing;
  }

  /** Asks the thread for something; sessions use this. */
  async request<O extends Operation>(
    operation: O,
    prepare: Prepare<O>,
    signal?: AbortSignal,
  ): Promise<Requests[O]["result"]> {
    signal?.throwIfAborted();
    if (this.closing) throw new Error("the lane has been closed");
    if (this.failure) throw this.failure;
    return this.enqueue(operation, prepare, signal);
  }

  private async enqueue<O extends Operation>(
    operation: O,
    prepare: Prepare<O>,
    signal?: AbortSignal,
  ): Promise<Requests[O]["result"]> {
    let onAbort = () => {};
    const result = new Promise<unknown>((resolve, reject) => {
      const job: Job = { operation, prepare, resolve, reject };
      onAbort = () => {
        const waiting = this.queue.indexOf(job);
        if (waiting >= 0) this.queue.splice(waiting, 1);
        reject(signal?.reason);
      };
      this.queue.push(job);
    });
    signal?.addEventListener("abort", onAbort);
    this.advance();
    try {
      return (await result) as Requests[O]["result"];
    } finally {
      signal?.removeEventListener("abort", onAbort);
    }
  }

  /** Sends the next request, unless one is under way. */
  private advance(): void {
    while (!this.current && !this.failure && this.queue.length > 0) {
      const job = this.queue.shift()!;
      try {
        const parcel = new Parcel();
        const request: Request = { operation: job.operation, args: job.prepare(parcel) };
        this.worker.postMessage(request, parcel.transfer);
        this.current = job;
        this.worker.ref();
      } catch (error) {
        job.reject(error);
      }
    }
  }

  private finish(reply: Reply): void {
    const job = this.current;
    this.current = null;
    this.worker.unref();
    if ("error" in reply) job?.reject(unpackError(reply.error));
    else job?.resolve(reply.result);
    this.advance();
  }

  /** The thread is gone: nothing asked for will be answered. */
  private fail(failure: Error): void {
    openLanes.delete(this.state);
    this.failure ??= failure;
    const lost = [this.current, ...this.queue.splice(0)];
    this.current = null;
    for (const job of lost) job?.reject(this.failure);
  }

  private async end(): Promise<void> {
    if (this.failure) return;
    await this.enqueue("close", () => ({}));
    await this.worker.terminate();
  }
}

function startWorker(state: Int32Array): Worker {
  const { url, argv } = entryPoint("worker");
  // Options of the process, such as --eval, are none of the thread's.
  return new Worker(url, { workerData: state, argv: [...argv], execArgv: [] });
}

/** Shared cells of the lanes of this thread. */
const openLanes = new Set<Int32Array>();

// A process that exits during a run would be aborted by ONNX Runtime: start no more runs, and let each end.
process.on("exit", () => {
  for (const state of openLanes) {
    Atomics.store(state, CLOSING, 1);
    Atomics.wait(state, BUSY, 1);
  }
});
