import { join } from "node:path";
import { z } from "zod";
import { timestepWeights, velocityTarget } from "../../diffusion/loss.ts";
import {
  addNoise,
  flowMatchSchedule,
  step,
  type Schedule,
  type ScheduleOptions,
} from "../../diffusion/schedule.ts";
import { float32 } from "../../tensor/tensor.ts";
import { openSafetensors, type Checkpoint } from "../../runtime/safetensors.ts";
import { compare, readConfig, toleranceSchema, unknownRow, type ParityCheck } from "./rows.ts";

const configSchema = z.object({
  what: z.string(),
  num_train_timesteps: z.number(),
  tolerance: z.object({
    sigmas: toleranceSchema,
    timesteps: toleranceSchema,
    steps: toleranceSchema,
    "train.weights": toleranceSchema,
  }),
});
type Tolerances = z.infer<typeof configSchema>["tolerance"];

export const schedulerCheck: ParityCheck = {
  folder: "scheduler",
  async run(dir) {
    const { what, num_train_timesteps: numTrainTimesteps, tolerance } = await readConfig(dir, configSchema);
    const inputs = await openSafetensors(join(dir, "inputs.safetensors"));
    const outputs = await openSafetensors(join(dir, "outputs.safetensors"));
    // The description names the settings: "FlowMatchScheduler(shift=5, sigma_min=0, ...)".
    const setting = (name: string): number | undefined => {
      const value = new RegExp(`\\b${name}=([\\d.]+)`).exec(what)?.[1];
      return value === undefined ? undefined : Number(value);
    };
    const [shift, sigmaMin] = [setting("shift"), setting("sigma_min")];
    const options: ScheduleOptions = {
      numTrainTimesteps,
      ...(shift !== undefined && { shift }),
      ...(sigmaMin !== undefined && { sigmaMin }),
    };
    const numTrainSteps = outputs.tensors.get("train.sigmas")?.shape[0] ?? numTrainTimesteps;

    const rows = [...outputs.tensors.keys()].map(async (name) => {
      const [run = "", quantity = ""] = splitAtLastDot(name);
      const ours =
        run === "train"
          ? await trainingQuantity(flowMatchSchedule(numTrainSteps, options), quantity, inputs)
          : await samplingQuantity(run, quantity, options, inputs);
      if (ours === undefined) return unknownRow(name);
      return compare(
        name,
        float32(ours),
        await outputs.readTensor(name),
        "absolute",
        toleranceOf(quantity, tolerance),
      );
    });
    return Promise.all(rows);
  },
};

/** Run names: `n<steps>`, with `_shift<s>_strength<x>` where they differ from the settings of the folder. */
async function samplingQuantity(
  run: string,
  quantity: string,
  options: ScheduleOptions,
  inputs: Checkpoint,
): Promise<Float32Array | undefined> {
  const named = /^n(\d+)(?:_shift([\d.]+))?(?:_strength([\d.]+))?$/.exec(run);
  if (!named) return undefined;
  const [, numSteps, shift, strength] = named;
  const make = (timestepPrecision: "float32" | "bfloat16"): Schedule =>
    flowMatchSchedule(Number(numSteps), {
      ...options,
      ...(shift !== undefined && { shift: Number(shift) }),
      ...(strength !== undefined && { strength: Number(strength) }),
      timestepPrecision,
    });
  if (quantity === "sigmas") return make("float32").sigmas;
  if (quantity === "timesteps") return make("float32").timesteps;
  if (quantity === "timesteps_bf16") return make("bfloat16").timesteps;
  const index = /^step(\d+)$/.exec(quantity)?.[1];
  if (index === undefined) return undefined;
  const { data: sample } = await inputs.readFloat32(`${run}.sample`);
  const { data: velocity } = await inputs.readFloat32(`${run}.model_output${index}`);
  return step(make("float32"), Number(index), sample, velocity);
}

async function trainingQuantity(
  schedule: Schedule,
  quantity: string,
  inputs: Checkpoint,
): Promise<Float32Array | undefined> {
  const [, kind, index] = /^([a-z_]+?)(\d*)$/.exec(quantity) ?? [];
  if (kind === "sigmas") return schedule.sigmas;
  if (kind === "timesteps") return schedule.timesteps;
  if (kind === "weights") return timestepWeights(schedule);
  if (kind === "weight") return timestepWeights(schedule).subarray(Number(index), Number(index) + 1);
  if (kind !== "target" && kind !== "add_noise") return undefined;
  const { data } = await inputs.readFloat32("train.x0");
  const { data: noise } = await inputs.readFloat32("train.noise");
  return kind === "target"
    ? velocityTarget(data, noise)
    : addNoise(data, noise, schedule.sigmas[Number(index)]!);
}

function toleranceOf(quantity: string, tolerance: Tolerances): number {
  if (quantity === "sigmas") return tolerance.sigmas;
  if (quantity === "timesteps") return tolerance.timesteps;
  if (quantity === "timesteps_bf16") return 0;
  return quantity.startsWith("weight") ? tolerance["train.weights"] : tolerance.steps;
}

/** "n10_shift3_strength0.6.sigmas" has dots in its first part. */
function splitAtLastDot(name: string): [string, string] {
  const dot = name.lastIndexOf(".");
  return [name.slice(0, dot), name.slice(dot + 1)];
}
