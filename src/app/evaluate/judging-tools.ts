import { LoadedModel } from "../../diffusion/loaded-model.ts";
import type { PoseTrackerOptions } from "../../perception/pose.ts";
import type { JobTools } from "./jobs.ts";
import { PoseJudge } from "./pose-judge.ts";

/** Networks that look at videos. */
export interface JudgingTools {
  readonly vae: LoadedModel["vae"];
  readonly judge: PoseJudge;
}

/** Opens a model's VAE and the pose network for one job: they hold what they were last asked for. */
export async function openJudgingTools(
  model: string,
  quality: NonNullable<PoseTrackerOptions["quality"]>,
): Promise<JobTools<JudgingTools>> {
  const loaded = await LoadedModel.open(model, { device: "cpu", threads: 1 });
  const judge = await PoseJudge.load({ quality });
  return {
    tools: { vae: loaded.vae, judge },
    async release() {
      await loaded.release();
      await judge.release();
    },
  };
}
