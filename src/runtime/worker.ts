/** The thread of a lane: engines and slots, and one request after another. */
import { parentPort, workerData } from "node:worker_threads";
import { invariant } from "../tensor/errors.ts";
import { Engine, type SlotMemory, toOrt } from "./engine.ts";
import {
  BUSY,
  CLOSING,
  type Operation,
  Parcel,
  type Reply,
  type Request,
  type Requests,
  packError,
} from "./protocol.ts";

invariant(parentPort, "worker.ts runs in a worker thread");
const port = parentPort;
const state = workerData as Int32Array;
const engines = new Map<number, Engine>();
const slots: SlotMemory = new Map();

const HANDLERS: {
  [O in Operation]: (args: Requests[O]["args"], reply: Parcel) => Promise<Requests[O]["result"]>;
} = {
  async create({ session, model, options }) {
    const engine = await Engine.create(model, options, slots);
    engines.set(session, engine);
    return { inputs: engine.inputs, outputs: engine.outputs };
  },
  async bind({ session, inputs }) {
    await engineOf(session).setInputs(inputs);
  },
  async run({ session, feeds, outputs, keep }, reply) {
    const results = await engineOf(session).run(feeds, { keep, ...(outputs && { outputs }) });
    return Object.fromEntries(
      Object.entries(results).map(([name, tensor]) => [name, reply.add(tensor, true)]),
    );
  },
  async release({ session }) {
    // A session whose creation failed is released as well.
    await engines.get(session)?.release();
    engines.delete(session);
  },
  async put({ tensors }) {
    for (const [slot, tensor] of tensors) slots.set(slot, toOrt(tensor));
  },
  async drop(args) {
    for (const slot of args.slots) slots.delete(slot);
  },
  async close() {
    for (const engine of engines.values()) await engine.release();
    engines.clear();
    slots.clear();
  },
};

port.on("message", async (request: Request) => {
  // Ending the process inside ONNX Runtime aborts it, so a process that exits waits until BUSY falls (lane.ts).
  Atomics.store(state, BUSY, 1);
  try {
    if (Atomics.load(state, CLOSING) === 1) return;
    const parcel = new Parcel();
    const reply = await handle(request, parcel);
    port.postMessage(reply, parcel.transfer);
  } finally {
    Atomics.store(state, BUSY, 0);
    Atomics.notify(state, BUSY);
  }
});

async function handle<O extends Operation>({ operation, args }: Request<O>, parcel: Parcel): Promise<Reply> {
  try {
    return { result: await HANDLERS[operation](args, parcel) };
  } catch (error) {
    return { error: packError(error) };
  }
}

function engineOf(session: number): Engine {
  const engine = engines.get(session);
  invariant(engine, `session ${session} does not exist`);
  return engine;
}
