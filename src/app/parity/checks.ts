import type { ParityCheck } from "./check.ts";
import { metrics } from "./metrics.ts";
import { noise } from "./noise.ts";
import { plan } from "./plan.ts";
import { scheduler } from "./scheduler.ts";
import { skeleton } from "./skeleton.ts";

/** Every kind of golden folder that can be checked. */
export const CHECKS: readonly ParityCheck[] = [noise, scheduler, plan, metrics, skeleton];
