import { describe, expect, it } from "vitest";
import { openSafetensors } from "../runtime/safetensors.ts";
import { UserError } from "../tensor/errors.ts";
import { addNoise, flowMatchSchedule, step } from "./schedule.ts";
import { timestepWeights, velocityTarget } from "./loss.ts";

const folder = new URL("../../fixtures/scheduler/", import.meta.url).pathname;
const inputs = await openSafetensors(`${folder}inputs.safetensors`);
const outputs = await openSafetensors(`${folder}outputs.safetensors`);
const input = async (name: string): Promise<Float32Array> => (await inputs.readFloat32(name)).data;
const golden = async (name: string): Promise<Float32Array> => (await outputs.readFloat32(name)).data;

function expectClose(actual: Float32Array, expected: Float32Array, tolerance: number): void {
  expect(actual.length).toBe(expected.length);
  expect(Math.max(...actual.map((x, i) => Math.abs(x - expected[i]!)))).toBeLessThanOrEqual(tolerance);
}

describe("flowMatchSchedule", () => {
  it.each([4, 10, 25, 50])("equals the golden schedule and steps of %i steps", async (n) => {
    const schedule = flowMatchSchedule(n);
    expectClose(schedule.sigmas, await golden(`n${n}.sigmas`), 2e-7);
    expectClose(schedule.timesteps, await golden(`n${n}.timesteps`), 2e-4);
    const published = flowMatchSchedule(n, { timestepPrecision: "bfloat16" });
    expectClose(published.timesteps, await golden(`n${n}.timesteps_bf16`), 0);
    expect(published.sigmas).toEqual(schedule.sigmas);
    for (const index of [0, Math.floor(n / 2), n - 1]) {
      const next = step(
        schedule,
        index,
        await input(`n${n}.sample`),
        await input(`n${n}.model_output${index}`),
      );
      expectClose(next, await golden(`n${n}.step${index}`), 1e-6);
    }
  });

  it("takes a shift and a strength", async () => {
    const schedule = flowMatchSchedule(10, { shift: 3, strength: 0.6 });
    expectClose(schedule.sigmas, await golden("n10_shift3_strength0.6.sigmas"), 2e-7);
    expectClose(schedule.timesteps, await golden("n10_shift3_strength0.6.timesteps"), 2e-4);
  });

  it("falls from 1, and following the true velocity ends at the data", () => {
    const { sigmas } = flowMatchSchedule(25);
    expect(sigmas[0]).toBe(1);
    expect(sigmas.every((sigma, i) => i === 0 || sigma < sigmas[i - 1]!)).toBe(true);
    const [data, noise] = [Float32Array.of(1, -2, 0.5), Float32Array.of(0.3, 0.1, -1)];
    let latents: Float32Array = noise;
    for (let i = 0; i < 25; i++)
      latents = step({ sigmas, timesteps: sigmas }, i, latents, velocityTarget(data, noise));
    expectClose(latents, data, 1e-6);
  });

  it("refuses impossible settings", () => {
    for (const numSteps of [0, -1, 2.5, Number.NaN])
      expect(() => flowMatchSchedule(numSteps)).toThrow(UserError);
    for (const options of [
      { shift: 0 },
      { strength: 0 },
      { strength: 1.1 },
      { sigmaMin: 1 },
      { shift: Number.NaN },
    ]) {
      expect(() => flowMatchSchedule(4, options)).toThrow(UserError);
    }
  });
});

describe("training", () => {
  const schedule = flowMatchSchedule(1000);

  it("weighs timesteps as the golden trainer", async () => {
    expectClose(schedule.sigmas, await golden("train.sigmas"), 2e-7);
    const weights = timestepWeights(schedule);
    expectClose(weights, await golden("train.weights"), 1e-5);
    expect(weights.reduce((a, b) => a + b) / 1000).toBeCloseTo(1, 5);
    for (const id of [0, 17, 400, 777, 999]) {
      expectClose(weights.subarray(id, id + 1), await golden(`train.weight${id}`), 1e-5);
    }
    expect([...timestepWeights(flowMatchSchedule(1))]).toEqual([1]);
  });

  it("adds noise and names the velocity", async () => {
    const [data, noise] = [await input("train.x0"), await input("train.noise")];
    expectClose(velocityTarget(data, noise), await golden("train.target"), 1e-6);
    for (const id of [0, 17, 400, 777, 999]) {
      expectClose(addNoise(data, noise, schedule.sigmas[id]!), await golden(`train.add_noise${id}`), 1e-6);
    }
  });
});
