import { expect, test, vi } from "vitest";
import { type DenoiseState, denoise, initialState } from "./denoise.ts";
import { flowMatchSchedule } from "./schedule.ts";

const schedule = flowMatchSchedule(4, { shift: 1 });
const data = Float32Array.of(3, -1, 0.5);
const noise = Float32Array.of(1, 1, -2);

/** The true velocity of a world of one picture: noise - data, wherever it stands. */
const exact = async () => noise.map((x, i) => x - data[i]!);

const close = (latents: Float32Array) => latents.forEach((x, i) => expect(x).toBeCloseTo(data[i]!, 5));

test("the exact velocity leads from noise to data", async () => {
  const end = await denoise({
    schedule,
    guidanceScale: 1,
    from: { step: 0, latents: noise },
    predict: exact,
  });
  expect(end.step).toBe(4);
  close(end.latents);
});

test("every step is told, and any of them is a place to go on from with the same bytes", async () => {
  const states: DenoiseState[] = [];
  const options = {
    schedule,
    guidanceScale: 3,
    predict: async ({ latents, branch }) => latents.map((x) => (branch === "positive" ? x : x / 2)),
  } satisfies Partial<Parameters<typeof denoise>[0]>;
  const end = await denoise({
    ...options,
    from: { step: 0, latents: noise },
    onStep: (state) => {
      states.push(state);
    },
  });
  expect(states.map(({ step }) => step)).toEqual([1, 2, 3, 4]);
  for (const from of states) expect(await denoise({ ...options, from })).toEqual(end);
});

test("it runs both branches of guidance at the timestep of each step, until the step asked for", async () => {
  const predict = vi.fn(exact);
  const from = { step: 1, latents: noise };
  const end = await denoise({ schedule, guidanceScale: 2, from, untilStep: 3, predict });
  expect(end.step).toBe(3);
  const calls = predict.mock.calls as unknown as [{ step: number; branch: string; timestep: number }][];
  expect(calls.map(([{ step, branch, timestep }]) => [step, branch, timestep])).toEqual([
    [1, "positive", 750],
    [1, "negative", 750],
    [2, "positive", 500],
    [2, "negative", 500],
  ]);
});

test("an aborted signal ends it between predictions", async () => {
  const controller = new AbortController();
  const predict = vi.fn(async () => {
    controller.abort(new Error("enough"));
    return noise;
  });
  const from = { step: 0, latents: noise };
  const ended = denoise({ schedule, guidanceScale: 2, from, predict, signal: controller.signal });
  await expect(ended).rejects.toThrow("enough");
  expect(predict).toHaveBeenCalledTimes(1);
});

test("all segments of a seed start from the same noise", () => {
  const { step, latents } = initialState([16, 2, 3, 4], 42);
  expect(step).toBe(0);
  expect(latents).toEqual(initialState([16, 2, 3, 4], 42).latents);
  expect(latents).not.toEqual(initialState([16, 2, 3, 4], 43).latents);
});
