import { clipCheck } from "./clip.ts";
import { condCheck } from "./cond.ts";
import { ditKvShareCheck } from "./dit-kvshare.ts";
import { ditCheck } from "./dit.ts";
import { loraCheck } from "./lora.ts";
import { metricsCheck } from "./metrics.ts";
import { noiseCheck } from "./noise.ts";
import { otsuCheck } from "./otsu.ts";
import { planCheck } from "./plan.ts";
import type { ParityCheck } from "./rows.ts";
import { schedulerCheck } from "./scheduler.ts";
import { skeletonCheck } from "./skeleton.ts";
import { umt5Check } from "./umt5.ts";
import { vaeCheck } from "./vae.ts";

/** A kind of fixture: what its config.json says it is (a folder may have any name), and its check. */
export interface FixtureKind {
  readonly what: RegExp;
  readonly check: ParityCheck;
}

export const FIXTURE_KINDS: readonly FixtureKind[] = [
  { what: /torch\.randn/, check: noiseCheck },
  { what: /FlowMatchScheduler/, check: schedulerCheck },
  { what: /segment plan/, check: planCheck },
  { what: /video metrics/, check: metricsCheck },
  { what: /PoseVisualizer/, check: skeletonCheck },
  { what: /otsu_threshold/, check: otsuCheck },
  { what: /WanModel.*plain forward/, check: ditCheck },
  { what: /^KV-share/, check: ditKvShareCheck },
  { what: /^LoRA/, check: loraCheck },
  { what: /umT5/, check: umt5Check },
  { what: /CLIP/, check: clipCheck },
  { what: /WanVAE_/, check: vaeCheck },
  { what: /encode_cond/, check: condCheck },
];
