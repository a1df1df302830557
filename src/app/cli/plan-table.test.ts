import { expect, test } from "vitest";
import type { GenerationPlan } from "../../index.ts";
import { planSegments } from "../../pipeline/plan.ts";
import { planTable } from "./plan-table.ts";

function planOf(numFrames: number): GenerationPlan {
  return {
    plan: planSegments(numFrames, { segmentFrames: 33 }),
    fps: 16,
    width: 128,
    height: 192,
    numSteps: 8,
    guidanceScale: 1.5,
    tiling: { numTiles: 4, width: 96, height: 128 },
    tokens: { video: 864, ref: 96, text: 64, image: 17 },
    sharing: { shot: "full-body", steps: [0, 2], blocks: [6, 8], mode: "paper" },
    work: {
      encodeFlops: 2e11,
      baseFlops: 4.5e12,
      interpolateFlops: 3e12,
      decodeFlops: 5e11,
      totalFlops: 8.2e12,
    },
    memory: {
      weightBytes: 3e7,
      denoiserBytes: 9e7,
      sharedKeyBytes: 2e6,
      vaeBytes: 8e7,
      encoderBytes: 4e6,
      frameBytes: 6e6,
      totalBytes: 7e8,
    },
    diskBytes: 2e7,
    gflops: 212.4,
    estimatedMs: {
      perceive: 12_000,
      encode: 500,
      base: 40_000,
      interpolate: 30_000,
      write: 1_000,
      total: 83_500,
    },
  };
}

test("a plan as people read it", () => {
  expect(planTable(planOf(80))).toMatchInlineSnapshot(`
    "  result    128x192, 80 frames at 16 fps, 5 s
      segments  3 of 33 frames; 9 head and 8 tail frames kept
      sampling  8 steps, guidance 1.5
      sharing   full-body: steps 0 to 1, blocks 6 to 7
      VAE       4 tiles of 96x128 pixels
      tokens    864 video + 96 reference, 64 text, 17 image

      segment  kind
            0  anchor        frames 0 to 32
            1  interpolated  frames 24 to 56
            2  base          frames 49 to 81

      work                             FLOP        time
      find poses                                   12 s
      open model, encode prompt                   0.5 s
      encode conditions               200 G
      denoise base segments          4.50 T        40 s
      denoise interpolated segments  3.00 T        30 s
      decode frames                   500 G
      stitch and write                            1.0 s
      together                       8.20 T  1 min 24 s

      memory                            668 MiB
        weights                        28.6 MiB
        denoiser                       85.8 MiB
        shared keys and values          1.9 MiB
        VAE                            76.3 MiB
        text or image encoder, before   3.8 MiB
        frames of a segment             5.7 MiB
      work directory                   19.1 MiB

    Times are estimates for this machine, at 212 GFLOPS. Nothing was generated."
  `);
});

test("of many segments the first and the last are shown", () => {
  const text = planTable(planOf(2000));
  expect(text.split("\n").filter((line) => /frames \d+ to \d+$/.test(line))).toHaveLength(12);
  expect(text).toMatch(/^ +…$/m);
});
