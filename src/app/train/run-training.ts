/** Runs a training from its settings: `posegen train`. */
import type { TrainingState } from "../../training/checkpoint.ts";
import { stageCost } from "../../training/denoiser-cost.ts";
import { type DenoiserStage, sharedStages, stageAt, trainDenoiser } from "../../training/denoiser-run.ts";
import { encodeConditions } from "../../training/encode-conditions.ts";
import { ALONE, type TrainingGroup } from "../../training/group.ts";
import type { StepReport } from "../../training/train.ts";
import { describeVaeQuality } from "../../training/vae-judge.ts";
import { trainVae } from "../../training/vae-train.ts";
import { type DenoiserConfig, type TrainingConfig, type VaeConfig, numStepsOf } from "./config.ts";
import { UserError } from "../../tensor/errors.ts";
import { writeDenoiserSheet } from "./denoiser-samples.ts";
import { type DenoiserSetup, setUpDenoiser } from "./denoiser-setup.ts";
import { ownCores } from "./in-group.ts";
import { LineClock } from "./line-clock.ts";
import { Monitor, type StepCost, type TrainingListener } from "./monitor.ts";
import { openRunFolder, runFingerprint } from "./run-folder.ts";
import { writeVaeSheet } from "./vae-samples.ts";
import { setUpVae, vaeStageCost } from "./vae-setup.ts";

export interface RunTrainingOptions {
  /** The processes that train together; by default this one is alone. */
  readonly group?: TrainingGroup;
  /** Whether a run that the folder already holds may go on; otherwise that is an error. */
  readonly resume: boolean;
  readonly signal: AbortSignal;
  readonly listener: TrainingListener;
}

/**
 * Trains until the last step or until the signal aborts, which finishes the running step and saves.
 * @returns steps finished, of how many
 * @throws UserError when settings, data and an earlier run do not fit together
 */
export async function runTraining(
  config: TrainingConfig,
  { resume, ...options }: RunTrainingOptions,
): Promise<{ step: number; numSteps: number }> {
  const { rank, size } = options.group ?? ALONE;
  if (config.kind === "vae" && size > 1) {
    throw new UserError(`kind vae is trained by one process, not by ${size}; start it without mpirun`);
  }
  const close = rank === 0 ? await openRunFolder(config, resume) : null;
  try {
    const { step } =
      config.kind === "vae" ? await runVae(config, options) : await runDenoiser(config, options);
    return { step, numSteps: numStepsOf(config) };
  } finally {
    await close?.();
  }
}

type Options = Omit<RunTrainingOptions, "resume">;

async function runDenoiser(config: DenoiserConfig, options: Options): Promise<TrainingState> {
  options.listener.say("opening model, VAE and dataset");
  const setup = await setUpDenoiser(config, threadsOf(config));
  const group = options.group ?? ALONE;
  const stages = sharedStages(setup.run, group);
  const costs = new Map<DenoiserStage, StepCost>();
  const costAt = (step: number): StepCost => {
    const stage = stageAt(stages, step);
    const known = costs.get(stage);
    if (known) return known;
    const { batch, numPasses } = stage;
    const cost = {
      flops: (stageCost(setup.run, stage).flops * numPasses) / group.size,
      samples: batch * numPasses,
    };
    costs.set(stage, cost);
    return cost;
  };
  const monitor = new Monitor(config, threadsOf(config), options.listener, costAt);
  await encodeClips(setup, { ...options, group });
  try {
    return await trainDenoiser(setup.run, setup.initial, {
      ...commonOptions(config, options),
      group,
      fingerprint: runFingerprint(config, { startStep: setup.fromStep }),
      optimizer: setup.optimizer,
      onStart: ({ step }) => monitor.start(step),
      async onStep(report, state) {
        await monitor.step(report);
        if (isSheetDue(config, report)) monitor.sheet(await writeDenoiserSheet(config, setup, state));
      },
    });
  } finally {
    await monitor.close();
  }
}

/** Before the first step, so that encoders and denoiser are not in memory at the same time. */
async function encodeClips(
  { run }: DenoiserSetup,
  { group, signal, listener }: Options & { readonly group: TrainingGroup },
): Promise<void> {
  const { encodings, dataset, absent } = run;
  if (!encodings) return;
  const numClips = run.clipsAt(run.stages.at(-1)!.untilStep);
  const lines = new LineClock();
  const onEncoded = (numDone: number, numAll: number): void => {
    if (lines.isDue(numDone, numAll)) listener.say(`encoding captions and references ${numDone}/${numAll}`);
  };
  const clips = { dataset, numClips, emptyPrompt: absent.emptyPrompt };
  await encodeConditions(encodings, clips, { group, signal, onEncoded });
}

async function runVae(config: VaeConfig, options: Options): Promise<TrainingState> {
  const run = await setUpVae(config, threadsOf(config));
  const { flops } = vaeStageCost(config, run.config);
  const cost = { flops: flops * config.accumulate, samples: config.window.batch * config.accumulate };
  const monitor = new Monitor(config, threadsOf(config), options.listener, () => cost);
  try {
    return await trainVae(run, {
      ...commonOptions(config, options),
      fingerprint: runFingerprint(config),
      log: (line) => options.listener.say(line),
      onStart: ({ step }) => monitor.start(step),
      onQuality(step, quality) {
        options.listener.say(`step ${step}: ${describeVaeQuality(quality)}`);
        monitor.scalars(step, "quality/", { ...quality });
      },
      async onStep(report, state) {
        await monitor.step(report);
        if (isSheetDue(config, report)) monitor.sheet(await writeVaeSheet(config, run, state));
      },
    });
  } finally {
    await monitor.close();
  }
}

function threadsOf({ threads }: TrainingConfig): number {
  return threads ?? ownCores();
}

function commonOptions(config: TrainingConfig, { signal }: Options) {
  const { out, ema, maxGradientNorm, checkpoint, learningRate } = config;
  return {
    folder: out,
    learningRate: { ...learningRate, numSteps: numStepsOf(config) },
    maxGradientNorm,
    emaDecay: ema,
    checkpointEverySteps: checkpoint.everySteps,
    keepCheckpoints: checkpoint.keep,
    signal,
  };
}

function isSheetDue({ samples: { everySteps } }: TrainingConfig, { step, numSteps }: StepReport): boolean {
  return everySteps !== null && (step % everySteps === 0 || step === numSteps);
}
