import { mkdir } from "node:fs/promises";
import { type TrainingState, loadCheckpoint, saveCheckpoint } from "./checkpoint.ts";
import { forgetStepsAfter, logStep } from "./step-log.ts";
import { type StepReport, type TrainOptions } from "./train.ts";

type RecordOptions = Pick<
  TrainOptions,
  "folder" | "fingerprint" | "checkpointEverySteps" | "keepCheckpoints"
>;

/** What a run leaves in its folder: checkpoints and the log of its steps. */
export class RunRecord {
  private constructor(
    private readonly options: RecordOptions,
    /** Step of the newest checkpoint; null when there is none. */
    private savedStep: number | null,
  ) {}

  /**
   * Opens a run's folder, which is made if need be.
   * @returns the state of its newest checkpoint too, null when it has none
   * @throws UserError when the folder belongs to a run with another fingerprint
   */
  static async open(options: RecordOptions): Promise<{ record: RunRecord; state: TrainingState | null }> {
    const { folder, fingerprint } = options;
    await mkdir(folder, { recursive: true });
    const state = await loadCheckpoint(folder, fingerprint);
    await forgetStepsAfter(folder, state?.step ?? 0);
    return { record: new RunRecord(options, state?.step ?? null), state };
  }

  /** Adds a step to the log, and a checkpoint where one is due. */
  async add(report: StepReport, state: TrainingState): Promise<void> {
    await logStep(this.options.folder, report);
    if (state.step % this.options.checkpointEverySteps === 0 || state.step === report.numSteps) {
      await this.save(state);
    }
  }

  /** Writes a checkpoint unless the state has one. */
  async save(state: TrainingState): Promise<void> {
    if (state.step === this.savedStep) return;
    const { folder, fingerprint, keepCheckpoints } = this.options;
    await saveCheckpoint(folder, state, fingerprint, keepCheckpoints);
    this.savedStep = state.step;
  }
}
