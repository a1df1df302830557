import { getHeapStatistics, setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/**
 * Bytes of all array buffers of this thread that something refers to; collects garbage for that, which stops the
 * thread for a moment. `process.memoryUsage` would also count arrays that were handed to an engine's thread until
 * that thread collects them, so that equal states would give different numbers.
 */
export function reachableBytes(): number {
  setFlagsFromString("--expose-gc");
  const collectGarbage = runInNewContext("gc") as () => void;
  collectGarbage();
  // Buffers found dead are freed in the background; the next collection begins by waiting for that.
  collectGarbage();
  return getHeapStatistics().external_memory;
}
