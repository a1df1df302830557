/**
 * What the anchor leaves for the base segments, for one denoising step and one branch of guidance: counted with the
 * embedded model and a rendered dancer, computed for the published model, beside what the published code writes: K and
 * V of self-attention and Q and K of cross-attention of all blocks, in 16 bits. And what keeping it in float16 or int8
 * does to a base segment's velocity. Usage: npx tsx bench/anchor-cache.ts [--threads 1]
 */
import { parseArgs } from "node:util";
import { encodeConditions } from "../src/diffusion/conditions.ts";
import {
  type AnchorStep,
  type SegmentInputs,
  type SharingSite,
  newAnchorStep,
} from "../src/diffusion/denoiser.ts";
import { guidanceBranches } from "../src/diffusion/guidance.ts";
import { LoadedModel, denoiserShape, latentShapeOf } from "../src/diffusion/loaded-model.ts";
import { flowMatchSchedule } from "../src/diffusion/schedule.ts";
import { type WanDiTShape } from "../src/models/wan-dit/build.ts";
import { WAN_DIT_PRESETS, type WanDiTConfig } from "../src/models/wan-dit/config.ts";
import { countTokens, sharedKeyBytes } from "../src/models/wan-dit/cost.ts";
import { EMBEDDED_MODEL } from "../src/pipeline/request.ts";
import { torchNoise } from "../src/tensor/torch-noise.ts";
import { conditionFrames, renderSeriesClip } from "../src/training/render-training-clip.ts";

const { values } = parseArgs({ options: { threads: { type: "string", default: "1" } } });
/** Steps that share. */
const STEPS = [0, 1];
const HALF_BYTES = 2;

function publishedBytes(config: WanDiTConfig, shape: WanDiTShape, numTextTokens: number): number {
  const { video, ref } = countTokens(config, shape);
  return config.numLayers * (2 * (video + ref) + video + numTextTokens) * config.dim * HALF_BYTES;
}

function row(name: string, published: number, kept: number): void {
  const mb = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;
  console.log(
    `${name}: ${mb(published)} published, ${mb(kept)} kept, ${(published / kept).toFixed(1)} times less`,
  );
}

const { wan14b } = WAN_DIT_PRESETS;
const hd: WanDiTShape = { latentFrames: 21, latentHeight: 90, latentWidth: 160 };
for (const [shot, numBlocks] of [
  ["half body", 6],
  ["full body", 8],
  ["distant", 10],
] as const) {
  for (const background of [1, 0.7]) {
    const kept = sharedKeyBytes(wan14b, hd, numBlocks, background, HALF_BYTES);
    const name = `computed, 1280x720, 81 frames, ${shot} (${numBlocks} blocks), ${100 * background} % background`;
    row(name, publishedBytes(wan14b, hd, 512), kept);
  }
}

const model = await LoadedModel.open(EMBEDDED_MODEL, { device: "cpu", threads: Number(values.threads) });
try {
  const { description } = model;
  const { dit, defaults, skeleton } = description;
  const { width, height, segmentFrames: numFrames } = defaults;
  const size = { width, height, numFrames };
  const start = (numFrames - 1) / 2;
  const recipe = { series: "anchor cache", world: "easy", headFrames: 0, tailFrames: 0 } as const;
  const { clip, reference } = renderSeriesClip({ ...recipe, ...size, numFrames: numFrames + start }, 0);
  const { skeletons, handNormals } = conditionFrames(clip, skeleton);
  const scene = {
    ...(await model.encodeReference(reference)),
    contexts: {
      positive: (await model.encodePrompt(clip.caption)).context,
      negative: (await model.encodePrompt(defaults.negativePrompt)).context,
    },
    subjectTokens: model.subjectTokens(clip.caption),
  };
  const segment = async (from: number): Promise<SegmentInputs> => {
    const cut = <T>(frames: readonly T[]): T[] => frames.slice(from, from + numFrames);
    const driving = { skeleton: cut(skeletons), handNormals: cut(handNormals) };
    return { ...scene, ...(await encodeConditions(model.vae, driving)) };
  };
  const [anchor, base] = [await segment(0), await segment(start)];
  const denoiser = model.denoiser(size);
  await denoiser.use("phase1");
  const schedule = flowMatchSchedule(defaults.steps, { shift: defaults.shift });
  const { data: latents } = torchNoise(latentShapeOf(description, size), 0);
  const blocks = Array.from({ length: dit.numLayers }, (_, i) => i);

  /** Velocities of the base segment in all steps and branches, and what the anchor has left. */
  const share = async (site: SharingSite): Promise<{ velocities: Float32Array[]; left: AnchorStep[] }> => {
    const velocities: Float32Array[] = [];
    const left: AnchorStep[] = [];
    for (const step of STEPS) {
      const timestep = schedule.timesteps[step]!;
      const from = newAnchorStep();
      const own = new Map();
      for (const branch of guidanceBranches(defaults.guidanceScale)) {
        const call = { branch, latents, timestep };
        await denoiser.capture(anchor, call, site, from);
        velocities.push(await denoiser.share(base, call, site, from, own));
      }
      left.push(from);
    }
    await denoiser.forget(left);
    return { velocities, left };
  };
  const half = await share({ mode: "paper", blocks });
  const exact = await share({ mode: "paper", blocks, keyDType: "float32" });
  const int8 = await share({ mode: "paper", blocks, keyDType: "int8" });
  const shape = denoiserShape(description, size);
  const { video, ref } = countTokens(dit, shape);
  let numRows = 0;
  for (const { masks } of half.left) {
    for (const block of blocks) {
      const subject = masks.get(block)?.data.reduce((sum, x) => sum + x, 0) ?? 0;
      numRows += (video - subject + ref) / half.left.length;
    }
  }
  const kept = 2 * numRows * dit.dim * HALF_BYTES;
  const keptShare = (100 * numRows) / dit.numLayers / (video + ref);
  row(
    `counted, embedded model, ${dit.numLayers} blocks, ${keptShare.toFixed(0)} % of tokens kept`,
    publishedBytes(dit, shape, description.textTokens),
    kept,
  );
  const numRowsOfBlock = numRows / dit.numLayers;
  const scaleBytes = 4 * dit.numLayers * (dit.dim + numRowsOfBlock);
  row("the same in int8", publishedBytes(dit, shape, description.textTokens), kept / 2 + scaleBytes);
  for (const [name, made] of [
    ["float16", half],
    ["int8", int8],
  ] as const) {
    made.velocities.forEach((velocity, i) => {
      const wanted = exact.velocities[i]!;
      const noise = Math.sqrt(velocity.reduce((sum, x, j) => sum + (x - wanted[j]!) ** 2, 0));
      const error = noise / Math.sqrt(wanted.reduce((sum, x) => sum + x * x, 0));
      console.log(`velocity ${i} with ${name} keys: off by ${error.toExponential(2)}`);
    });
  }
} finally {
  await model.release();
}
