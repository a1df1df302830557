import { type ModelDescription } from "../model-folder.ts";

/** Wan2.1's standard negative prompt, as the published code passes it. */
const NEGATIVE_PROMPT =
  "色调艳丽，过曝，静态，细节模糊不清，字幕，风格，作品，画作，画面，静止，整体发灰，最差质量，低质量，JPEG压缩残留，" +
  "丑陋的，残缺的，多余的手指，画得不好的手部，画得不好的脸部，畸形的，毁容的，形态畸形的肢体，手指融合，静止不动的画面，" +
  "杂乱的背景，三条腿，背景人很多，倒着走";

/** Last block whose attention maps make the subject mask. */
const MAX_MAP_BLOCK = 10;

/** Steps, and how many of the deepest blocks, share the anchor's background (method section 5). */
const SHARING = {
  "close-up": { steps: 1, deepest: 6 },
  "half-body": { steps: 2, deepest: 6 },
  "full-body": { steps: 4, deepest: 8 },
  distant: { steps: 4, deepest: 10 },
} as const;

type Shot = keyof typeof SHARING;
type Defaults = Omit<
  ModelDescription,
  "format" | "name" | "dit" | "vae" | "textEncoder" | "imageEncoder" | "loras"
>;

/** What the published code sets for its 40 blocks. Other depths share as many of the deepest blocks. */
export function publishedDefaults(numLayers: number): Defaults {
  const shots = Object.entries(SHARING).map(([shot, { steps, deepest }]) => [
    shot,
    { steps: [0, steps], blocks: [Math.max(0, numLayers - deepest), numLayers] },
  ]);
  return {
    textTokens: 512,
    defaults: {
      width: 720,
      height: 1280,
      fps: 30,
      segmentFrames: 81,
      steps: 25,
      guidanceScale: 5,
      shift: 5,
      negativePrompt: NEGATIVE_PROMPT,
    },
    skeleton: { style: "published", channelOrder: "published" },
    sharing: Object.fromEntries(shots) as Record<Shot, { steps: [number, number]; blocks: [number, number] }>,
    maxMapBlock: Math.min(MAX_MAP_BLOCK, numLayers - 1),
  };
}
