import type { DeviceName, Precision } from "../runtime/device-table.ts";

/** Where networks run. */
export interface Placement {
  /** A device that `resolveDevice` has found usable. */
  readonly device: DeviceName;
  /** Threads inside one operation of the CPU. */
  readonly threads: number;
  /** What the denoiser's linear layers compute in, float32 by default. */
  readonly precision?: Precision;
  /**
   * Blocks of the denoiser whose weights are in memory at a time; null, the default, makes one session of all. See
   * `StagedRunner`.
   */
  readonly blocksPerStage?: number | null;
}
