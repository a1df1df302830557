import { beforeAll, expect, test } from "vitest";
import { type WanVaeConfig } from "../models/wan-vae/config.ts";
import { UserError } from "../tensor/errors.ts";
import { Random } from "../tensor/random.ts";
import { type Tensor, float32 } from "../tensor/tensor.ts";
import { VaeProbe } from "./vae-probe.ts";
import { initialVaeWeights, latentStatistics } from "./vae-init.ts";
import { VaeWeights } from "./vae-layout.ts";
import { type Params } from "./train.ts";

const SHAPE = [1, 3, 5, 32, 32] as const;

/** A VAE just large enough for the analytic start. */
const CONFIG: WanVaeConfig = {
  encoder: { dim: 6, dimMult: [1, 1, 2, 2], numResBlocks: 1 },
  decoder: { dim: 8, dimMult: [1, 2, 2, 2], numResBlocks: 1 },
  zDim: 4,
  temporalDownsample: [false, true, true],
  latentMean: new Array<number>(4).fill(0),
  latentStd: new Array<number>(4).fill(1),
};

/** Two soft spots that drift over a slanting background. */
function clip(seed: number): Tensor<"float32"> {
  const random = new Random(seed);
  const [, channels, numFrames, height, width] = SHAPE;
  const spots = Array.from({ length: 2 }, () => ({
    at: [random.uniform(4, 28), random.uniform(4, 28)] as const,
    speed: [random.uniform(-1, 1), random.uniform(-1, 1)] as const,
    colour: Array.from({ length: channels }, () => random.uniform(-1.2, 1.2)),
  }));
  const slant = Array.from(
    { length: channels },
    () => [random.uniform(-0.5, 0.5), random.uniform(-0.5, 0.5)] as const,
  );
  const video = new Float32Array(channels * numFrames * height * width);
  let i = 0;
  for (let c = 0; c < channels; c++) {
    for (let t = 0; t < numFrames; t++) {
      for (let y = 0; y < height; y++) {
        for (let x = 0; x < width; x++) {
          let value = slant[c]![0] * (y / 16 - 1) + slant[c]![1] * (x / 16 - 1);
          for (const { at, speed, colour } of spots) {
            const distance = (y - at[0] - t * speed[0]) ** 2 + (x - at[1] - t * speed[1]) ** 2;
            value += colour[c]! * Math.exp(-distance / 32);
          }
          video[i++] = Math.max(-1, Math.min(1, value));
        }
      }
    }
  }
  return float32(video, SHAPE);
}

const clips = (first: number, count: number): Tensor<"float32">[] =>
  Array.from({ length: count }, (_, i) => clip(first + i));

/** Peak signal-to-noise ratio of the reconstruction in dB. */
async function quality(weights: Params, videos: readonly Tensor<"float32">[]): Promise<number> {
  const probe = await VaeProbe.open(CONFIG, SHAPE, []);
  let squares = 0;
  let count = 0;
  for (const video of videos) {
    const { decoded } = await probe.run(weights, video);
    decoded.data.forEach((x, i) => (squares += ((x - video.data[i]!) / 2) ** 2));
    count += decoded.data.length;
  }
  await probe.release();
  return -10 * Math.log10(squares / count);
}

const known = clips(0, 6);
const log: string[] = [];
let start: Params;

beforeAll(async () => {
  start = await initialVaeWeights(CONFIG, known, 1, (line) => log.push(line));
}, 120_000);

test("every layer between resolutions is fitted", () => {
  expect(log.length).toBe(5 + 7);
});

test("the start reconstructs videos it has not seen, far better than random weights", async () => {
  const unseen = clips(100, 4);
  expect(await quality(start, unseen)).toBeGreaterThan(20);
  expect(await quality(VaeWeights.random(CONFIG, 1).tensors, unseen)).toBeLessThan(15);
});

test("latents of the start have mean 0 and together deviation 1", async () => {
  const probe = await VaeProbe.open(CONFIG, SHAPE, []);
  const channels = await latentStatistics(probe, start, known);
  await probe.release();
  channels.forEach(({ mean }) => expect(mean).toBeCloseTo(0, 4));
  expect(channels.reduce((sum, { deviation }) => sum + deviation ** 2, 0) / CONFIG.zDim).toBeCloseTo(1, 4);
});

test("a VAE too narrow for the code is refused", async () => {
  const narrow = { ...CONFIG, encoder: { ...CONFIG.encoder, dim: 4 } };
  await expect(initialVaeWeights(narrow, known, 1)).rejects.toThrow(UserError);
  const thin = { ...CONFIG, decoder: { ...CONFIG.decoder, dim: 6 } };
  await expect(initialVaeWeights(thin, known, 1)).rejects.toThrow(UserError);
});
