/** A process of its own that tries one device: a driver that crashes or prints takes nothing else with it. */
import { invariant } from "../tensor/errors.ts";
import { DEVICES, type DeviceName } from "./device-table.ts";
import { matmulSpeed } from "./measure.ts";
import { type BlockTrial, tryBlock } from "./probe-block.ts";

/** What the process answers. */
export type ProbeResult =
  | {
      readonly usable: true;
      /** Speed of a short chain of matrix products, the transfer of its input and output included. */
      readonly gflops: number;
      readonly block: BlockTrial;
    }
  | { readonly usable: false; readonly reason: string };

/** A block that is further off than this has been computed wrongly: even products in 16 bits are closer. */
const MAX_BLOCK_ERROR = 0.02;

async function probe(device: DeviceName, threads: number): Promise<ProbeResult> {
  try {
    const gflops = await matmulSpeed({ device, threads, numProducts: 4 });
    const block = await tryBlock({ device, threads });
    if (block.error <= MAX_BLOCK_ERROR) return { usable: true, gflops, block };
    return {
      usable: false,
      reason: `it computes a transformer block off by ${block.error.toExponential(1)}`,
    };
  } catch (error) {
    return { usable: false, reason: (error as Error).message };
  }
}

const [name = "", threads = "1"] = process.argv.slice(-2);
invariant(name in DEVICES && process.send, "device-probe.ts is started by devices.ts");
process.send(await probe(name as DeviceName, Number(threads)));
