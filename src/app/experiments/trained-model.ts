/** Models of a training as it goes on. */
import { UserError } from "../../tensor/errors.ts";
import { newestStep } from "../../training/checkpoint.ts";
import { type TrainingConfig, readTrainingConfig } from "../train/config.ts";
import { exportModel } from "../train/export-model.ts";
import type { TrainingListener } from "../train/monitor.ts";
import { readRunConfig, runFingerprint } from "../train/run-folder.ts";
import { runTraining } from "../train/run-training.ts";
import { isModelFolder } from "../train/trained-vae.ts";

/** Settings of a first phase: what the experiments train. */
export type Phase1Config = Extract<TrainingConfig, { kind: "phase1" }>;

export interface TrainingOptions {
  readonly signal: AbortSignal;
  readonly listener: TrainingListener;
}

/** Reads the settings of a first phase; see `readTrainingConfig`. @throws UserError for another kind too */
export async function readPhase1Config(path: string, changes: readonly string[] = []): Promise<Phase1Config> {
  const config = await readTrainingConfig(path, changes);
  if (config.kind === "phase1") return config;
  throw new UserError(`${path}: kind is ${config.kind}; the experiments train phase1`);
}

/**
 * What a training has learnt after some steps, as a model folder. The training goes on to there and the model is
 * written, unless an earlier call has done so with the same settings.
 * @param step 0: what it starts from
 * @throws UserError when the training has gone past the step without leaving its model, and as `runTraining`; the
 * signal's reason, with everything saved
 */
export async function modelAtStep(
  config: Phase1Config,
  step: number,
  folder: string,
  options: TrainingOptions,
): Promise<string> {
  if ((await isModelFolder(folder)) && (await isOfRun(config))) return folder;
  const reached = await trainUntil(config, step, options);
  if (reached > step) {
    throw new UserError(
      `${config.out} has gone on to step ${reached}, and ${folder} does not hold what it was at step ${step}; ` +
        "remove the run, or choose another folder",
    );
  }
  const { from } = config;
  const base = from !== null && (await readRunConfig(from)).kind === "base" ? [from] : [];
  const { path } = await exportModel({ runs: [config.out, ...base], out: folder });
  return path;
}

/** Whether the run was made with these settings, as far as its models depend on them. */
async function isOfRun(config: Phase1Config): Promise<boolean> {
  if ((await newestStep(config.out)) === null) return false;
  const found = await readRunConfig(config.out);
  const essence = (of: TrainingConfig): string =>
    JSON.stringify([runFingerprint(of), of.kind === "vae" ? null : of.generation]);
  return essence(found) === essence(config);
}

/** Trains until a step has been made, or more where an earlier run has. @returns the step */
async function trainUntil(
  config: Phase1Config,
  step: number,
  { signal, listener }: TrainingOptions,
): Promise<number> {
  const enough = new AbortController();
  if (((await newestStep(config.out)) ?? 0) >= step) enough.abort();
  const run = await runTraining(config, {
    resume: true,
    signal: AbortSignal.any([signal, enough.signal]),
    listener: {
      say: (line) => listener.say(line),
      step(progress) {
        listener.step(progress);
        if (progress.step >= step) enough.abort();
      },
    },
  });
  if (run.step < step) signal.throwIfAborted();
  return run.step;
}
