/** The library: long videos of a person from one reference image and a driving video. */
export { generate } from "./pipeline/generate.ts";
export { generateEvents } from "./pipeline/generate-events.ts";
export { checkGenerateRequest, checkPrepareRequest, EMBEDDED_MODEL, SHOTS } from "./pipeline/request.ts";
export type { GenerateRequest, PrepareRequest, Shot } from "./pipeline/request.ts";
export { PHASES } from "./pipeline/progress.ts";
export type {
  Activity,
  FinishedEvent,
  GenerateEvent,
  GenerateResult,
  NoticeEvent,
  ObservedRunOptions,
  Phase,
  PlanEvent,
  ProgressEvent,
  RunOptions,
} from "./pipeline/progress.ts";
export { planGeneration } from "./pipeline/generation-plan.ts";
export { prepare } from "./pipeline/prepare.ts";
export type { Preparation } from "./pipeline/prepare.ts";
export type { GenerationPlan } from "./pipeline/generation-plan.ts";
export type { MemoryEstimate, TimeEstimate, WorkEstimate } from "./pipeline/estimates.ts";
export type { Range, SharingPlan } from "./pipeline/sharing-plan.ts";
export type { VaeTiling } from "./pipeline/vae-tiling.ts";
export type { Plan, Segment, SegmentKind } from "./pipeline/plan.ts";
export { UserError } from "./tensor/errors.ts";
