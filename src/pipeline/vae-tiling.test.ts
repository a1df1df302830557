import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { TINY_MODEL } from "../diffusion/testing.ts";
import { vaeBytes, vaeCost } from "../diffusion/vae-cost.ts";
import { WAN_VAE } from "../models/wan-vae/config.ts";
import { readFrames } from "../media/frame-store.ts";
import type { Image } from "../media/pixels.ts";
import { generate } from "./generate.ts";
import { planGeneration } from "./generation-plan.ts";
import { writeTinyInputs } from "./testing.ts";
import { chooseTiling } from "./vae-tiling.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "posegen-tiling-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

// 36x40 latents: two rows and two columns of tiles.
const SIZE = { width: 320, height: 288, numFrames: 5 };
const TILES = { numTiles: 4, width: 272, height: 272 };

describe("chooseTiling", () => {
  const wholeBytes = vaeBytes(vaeCost(TINY_MODEL.vae, SIZE, false));

  async function choose(
    vaeTiling: "auto" | "on" | "off",
    { budgetBytes = Infinity, size = SIZE, workDir = "none", resume = true } = {},
  ) {
    const notices: string[] = [];
    const notify = (message: string): void => void notices.push(message);
    const tiling = await chooseTiling({ vaeTiling, resume }, TINY_MODEL, size, workDir, notify, budgetBytes);
    return { tiling, notices };
  }

  test("auto cuts frames that would take more than the budget, and says so", async () => {
    expect(await choose("auto", { budgetBytes: wholeBytes })).toEqual({ tiling: null, notices: [] });
    const { tiling, notices } = await choose("auto", { budgetBytes: wholeBytes - 1 });
    expect(tiling).toEqual(TILES);
    expect(notices).toEqual([expect.stringMatching(/^the VAE works in 4 tiles of 272x272 pixels: /)]);
  });

  test("on and off leave no choice, and one tile is a whole frame", async () => {
    expect((await choose("off", { budgetBytes: 0 })).tiling).toBeNull();
    expect(await choose("on")).toEqual({ tiling: TILES, notices: [] });
    const small = { width: 272, height: 256, numFrames: 5 };
    expect((await choose("on", { size: small })).tiling).toBeNull();
    expect((await choose("auto", { size: small, budgetBytes: 0 })).tiling).toBeNull();
  });

  test("auto goes on as the run has begun, however much memory is free", async () => {
    const workDir = join(folder, "begun");
    await mkdir(workDir);
    for (const begun of ["on", "off"]) {
      await writeFile(
        join(workDir, "run.json"),
        JSON.stringify({ format: 1, settings: { vaeTiling: begun } }),
      );
      const budgetBytes = begun === "on" ? Infinity : 0;
      expect((await choose("auto", { budgetBytes, workDir })).tiling !== null).toBe(begun === "on");
      expect((await choose("auto", { budgetBytes, workDir, resume: false })).tiling !== null).toBe(
        begun === "off",
      );
    }
  });

  test("tiles take less memory and more work, whatever the number of frames", () => {
    const [tiled, whole] = [vaeCost(TINY_MODEL.vae, SIZE, true), vaeCost(TINY_MODEL.vae, SIZE, false)];
    const areas = (272 * 272) / (SIZE.width * SIZE.height);
    expect(vaeBytes(tiled) / vaeBytes(whole)).toBeCloseTo(areas, 1);
    expect(tiled.decode.flops / whole.decode.flops).toBeCloseTo(4 * areas, 1);
    expect(vaeBytes(vaeCost(TINY_MODEL.vae, { ...SIZE, numFrames: 81 }, true))).toBe(vaeBytes(tiled));

    const published = { width: 1280, height: 720, numFrames: 81 };
    expect(vaeBytes(vaeCost(WAN_VAE, published, false))).toBeGreaterThan(100e9);
    expect(vaeBytes(vaeCost(WAN_VAE, published, true))).toBeLessThan(9e9);
  });
});

test("a run in tiles is planned, differs little inside tiles, and is not mixed with one of whole frames", async () => {
  const { model, image: reference, keypoints } = await writeTinyInputs(folder, 5);
  const request = {
    model,
    image: reference,
    keypoints,
    size: `${SIZE.width}x${SIZE.height}`,
    segmentFrames: 5,
    steps: 1,
    guidanceScale: 1,
    threads: 1,
    out: join(folder, "out.mp4"),
    workDir: join(folder, "on"),
    vaeTiling: "on",
  } as const;
  const planned = await planGeneration(request);
  expect(planned.tiling).toEqual(TILES);
  expect(planned.memory.vaeBytes).toBe(vaeBytes(vaeCost(TINY_MODEL.vae, SIZE, true)));

  await generate(request);
  await expect(generate({ ...request, vaeTiling: "off" })).rejects.toThrow("vaeTiling was on, now off");
  await generate({ ...request, vaeTiling: "off", workDir: join(folder, "off") });
  const frames = async (run: string): Promise<Image[]> => {
    const images: Image[] = [];
    for await (const image of readFrames(join(folder, run, "segment-0000.frames"))) images.push(image);
    return images;
  };
  const [tiled, untiled] = [await frames("on"), await frames("off")];
  let [error, count] = [0, 0];
  tiled.forEach(({ data }, t) => {
    // The upper left tile covers these rows and columns alone.
    for (let y = 0; y < SIZE.height - TILES.height; y++) {
      for (let i = 0; i < 3 * (SIZE.width - TILES.width); i++) {
        const at = 3 * y * SIZE.width + i;
        error += Math.abs(data[at]! - untiled[t]!.data[at]!);
        count++;
      }
    }
  });
  // Of 255. The tiles' conditions and latents differ by a thousandth, which the denoiser spreads.
  expect(error / count).toBeGreaterThan(0);
  expect(error / count).toBeLessThan(2);
});
