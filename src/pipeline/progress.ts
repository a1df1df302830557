/** What a run tells while it works. */
import type { AudioOutcome } from "../media/video.ts";
import type { SharingPlan } from "./sharing-plan.ts";
import type { Plan } from "./plan.ts";
import type { VaeTiling } from "./vae-tiling.ts";

/** The parts of a run, in order. */
export const PHASES = ["perceive", "base", "interpolate", "write"] as const;

export type Phase = (typeof PHASES)[number];

/** What is being done inside a phase. */
export type Activity =
  /** The first, quick look at all of the driving video. */
  | "survey"
  | "perceive"
  | "encode"
  /** The anchor's early steps once more, after an interruption: their keys and values are kept in memory only. */
  | "recapture"
  | "denoise"
  | "decode"
  | "write";

/** Work has gone on. */
export interface ProgressEvent {
  readonly type: "progress";
  readonly phase: Phase;
  readonly activity: Activity;
  /** Index of the segment that is worked on; null in phases without segments. */
  readonly segment: number | null;
  /** Finished steps of the activity: denoising steps, or frames. */
  readonly step: number;
  readonly of: number;
  /** Share of the phase that is done, 0..1, by the work it takes. */
  readonly fraction: number;
  /** Time since the phase began in this run. */
  readonly elapsedMs: number;
  /** Estimated time that the phase still needs; null before there is anything to judge by. */
  readonly remainingMs: number | null;
}

/** The segments are planned: the length of the driving video is known. */
export interface PlanEvent {
  readonly type: "plan";
  readonly plan: Plan;
  /** Null when nothing is shared. */
  readonly sharing: SharingPlan | null;
  /** Tiles that the VAE works in; null where frames stay whole. */
  readonly tiling: VaeTiling | null;
  readonly fps: number;
  readonly width: number;
  readonly height: number;
}

/** Something that a user should know: a choice made for them, or a fault that was got over. */
export interface NoticeEvent {
  readonly type: "notice";
  readonly message: string;
}

/** The result is in its place. The last event of a run. */
export interface FinishedEvent {
  readonly type: "finished";
  readonly result: GenerateResult;
}

export type GenerateEvent = ProgressEvent | PlanEvent | NoticeEvent | FinishedEvent;

export interface GenerateResult {
  /** Path of the video. */
  readonly out: string;
  readonly numFrames: number;
  readonly fps: number;
  readonly width: number;
  readonly height: number;
  readonly numSegments: number;
  /** What became of the driving video's sound. */
  readonly audio: AudioOutcome;
  readonly sharing: SharingPlan | null;
  /** Time of this run, without work that an earlier one had finished. */
  readonly durationMs: number;
  /** The work directory, where it was kept. */
  readonly workDir: string | null;
}

export interface RunOptions {
  /** Stops the run at the next step with the signal's reason; a later run goes on from there. */
  readonly signal?: AbortSignal;
}

export interface ObservedRunOptions extends RunOptions {
  /** Called with every event, in order. What it throws ends the run. */
  readonly onProgress?: (event: GenerateEvent) => void;
}
