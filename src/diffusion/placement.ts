import type { DeviceName } from "../runtime/device-table.ts";

/** Where networks run. */
export interface Placement {
  /** A device that `resolveDevice` has found usable. */
  readonly device: DeviceName;
  /** Threads inside one operation of the CPU. */
  readonly threads: number;
}
