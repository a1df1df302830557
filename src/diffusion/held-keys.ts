/** Where the anchor's keys and values wait for the base segments: in memory, or on the disk. */
import { type FileHandle, open, rm } from "node:fs/promises";
import { join } from "node:path";
import { type Lane } from "../runtime/lane.ts";
import { type Slot } from "../runtime/runner.ts";
import { UserError, invariant } from "../tensor/errors.ts";
import { type Tensor, zeros } from "../tensor/tensor.ts";

/** Tensors that are kept for later runs. */
export interface HeldKeys {
  /** Brings them into the lane's memory, by the names they were given under. */
  take(): Promise<Slots>;
  /** Ends the use of what was taken. */
  putBack(taken: Slots): Promise<void>;
  drop(): Promise<void>;
}

type Slots = Readonly<Record<string, Slot>>;

type Named = Readonly<Record<string, Tensor>>;

/** In the lane's memory, where no run copies them. The tensors are given up. */
export async function holdInLane(lane: Lane, tensors: Named): Promise<HeldKeys> {
  const slots = await lane.hold(tensors, { transfer: "all" });
  return { take: async () => slots, putBack: async () => {}, drop: () => lane.drop(Object.values(slots)) };
}

let numFiles = 0;

/**
 * In a file of their own, which each run reads again. The tensors may be let go of.
 * @param folder exists; the file's name ends in ".partial", since it is of no use to another process
 * @throws UserError when it cannot be written or read, e.g. because the disk is full
 */
export async function holdOnDisk(lane: Lane, folder: string, tensors: Named): Promise<HeldKeys> {
  const path = join(folder, `keys-${numFiles++}.partial`);
  const places = Object.entries(tensors).map(([name, { dtype, shape }]) => ({ name, dtype, shape }));
  await withFile(path, "w", async (handle) => {
    for (const tensor of Object.values(tensors)) await handle.writeFile(bytesOf(tensor));
  });
  const read = (): Promise<Named> =>
    withFile(path, "r", async (handle) => {
      const found: Record<string, Tensor> = {};
      for (const { name, dtype, shape } of places) {
        const tensor = zeros(shape, dtype);
        await fill(handle, bytesOf(tensor));
        found[name] = tensor;
      }
      return found;
    });
  return {
    take: async () => lane.hold(await read(), { transfer: "all" }),
    putBack: (taken) => lane.drop(Object.values(taken)),
    drop: () => rm(path, { force: true }),
  };
}

async function withFile<T>(path: string, flags: string, use: (handle: FileHandle) => Promise<T>): Promise<T> {
  try {
    const handle = await open(path, flags);
    try {
      return await use(handle);
    } finally {
      await handle.close();
    }
  } catch (cause) {
    const { message } = cause as Error;
    throw new UserError(`the anchor's keys cannot be kept in ${path}: ${message}`, { cause });
  }
}

/** Reads on from where the file is; one system call reads at most 2 GiB. */
async function fill(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.byteLength;) {
    const { bytesRead } = await handle.read(bytes, done, Math.min(2 ** 30, bytes.byteLength - done), null);
    invariant(bytesRead > 0, "the file has become shorter");
    done += bytesRead;
  }
}

function bytesOf({ data }: Tensor): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}
