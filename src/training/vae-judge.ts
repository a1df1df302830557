import { type WanVaeConfig } from "../models/wan-vae/config.ts";
import { type Tensor, float32 } from "../tensor/tensor.ts";
import { type Params } from "./train.ts";
import { type VaeClip } from "./vae-clips.ts";
import { VaeProbe } from "./vae-probe.ts";

/**
 * Mean PSNR over held-out clips in dB; `person` and `face` count only pixels of the person and of the face, `hands` only
 * drawn hand normals.
 */
export interface VaeQuality {
  readonly picture: number;
  readonly person: number;
  readonly face: number;
  readonly firstFrame: number;
  readonly skeleton: number;
  readonly handNormals: number;
  readonly hands: number;
}

/** For a line of a log. */
export function describeVaeQuality(quality: VaeQuality): string {
  return Object.entries(quality)
    .map(([name, value]) => `${name} ${value.toFixed(2)} dB`)
    .join(", ");
}

const NUM_FRAMES = 9;
const HEIGHT = 128;
const WIDTH = 96;

const PLANE = NUM_FRAMES * HEIGHT * WIDTH;

/** What decides whether a pixel counts: the video [3, PLANE], and masks [PLANE]. */
interface Pixels {
  readonly video: Float32Array;
  readonly person: Uint8Array;
  readonly face: Uint8Array;
}

/** A figure: a video of a clip, and the pixels of it that count. */
interface Region {
  readonly name: keyof VaeQuality;
  readonly of: "frames" | "skeleton" | "handNormals";
  /** @param i number of the pixel, 0 to PLANE - 1 */
  readonly has: (pixels: Pixels, i: number) => boolean;
}

const REGIONS: readonly Region[] = [
  { name: "picture", of: "frames", has: () => true },
  { name: "person", of: "frames", has: ({ person }, i) => person[i]! > 127 },
  { name: "face", of: "frames", has: ({ person, face }, i) => person[i]! > 127 && face[i]! > 0 },
  { name: "firstFrame", of: "frames", has: (_, i) => i < HEIGHT * WIDTH },
  { name: "skeleton", of: "skeleton", has: () => true },
  { name: "handNormals", of: "handNormals", has: () => true },
  // Black, which is -1 in all channels, is where no hand is drawn.
  {
    name: "hands",
    of: "handNormals",
    has: ({ video }, i) => video[i]! + video[i + PLANE]! + video[i + 2 * PLANE]! > -3,
  },
];

/** Measures reconstruction on the middle of held-out clips. */
export class VaeJudge {
  private constructor(
    private readonly probe: VaeProbe,
    private readonly clips: readonly VaeClip[],
  ) {}

  static async open(config: WanVaeConfig, clips: readonly VaeClip[]): Promise<VaeJudge> {
    return new VaeJudge(await VaeProbe.open(config, [1, 3, NUM_FRAMES, HEIGHT, WIDTH], []), clips);
  }

  async judge(weights: Params): Promise<VaeQuality> {
    const errors = Object.fromEntries(REGIONS.map(({ name }) => [name, { squares: 0, count: 0 }]));
    for (const clip of this.clips) {
      const [person, face] = [middleMask(clip, clip.mask), middleMask(clip, clip.face)];
      for (const shown of ["frames", "skeleton", "handNormals"] as const) {
        const video = middleOf(clip, clip[shown]);
        const { decoded } = await this.probe.run(weights, video);
        const squares = squaredErrors(decoded.data, video.data);
        const pixels: Pixels = { video: video.data, person, face };
        for (const region of REGIONS) {
          if (region.of === shown) addErrors(errors[region.name]!, squares, (i) => region.has(pixels, i));
        }
      }
    }
    const decibels = Object.entries(errors).map(
      ([name, { squares, count }]) => [name, -10 * Math.log10(squares / count)] as const,
    );
    return Object.fromEntries(decibels) as unknown as VaeQuality;
  }

  release(): Promise<void> {
    return this.probe.release();
  }
}

/** Of values in 0..1, those decoded cut off there, [3, PLANE]. */
function squaredErrors(decoded: Float32Array, video: Float32Array): Float64Array {
  return Float64Array.from(decoded, (value, i) => ((Math.min(1, Math.max(-1, value)) - video[i]!) / 2) ** 2);
}

/** Adds the errors of pixels that count, in all channels. */
function addErrors(
  sum: { squares: number; count: number },
  squares: Float64Array,
  counts: (pixel: number) => boolean,
): void {
  squares.forEach((square, i) => {
    if (!counts(i % PLANE)) return;
    sum.squares += square;
    sum.count++;
  });
}

const corner = (clip: VaeClip): readonly [top: number, left: number] => [
  (clip.height - HEIGHT) >> 1,
  (clip.width - WIDTH) >> 1,
];

function middleOf(clip: VaeClip, pixels: Uint8Array): Tensor<"float32"> {
  const [top, left] = corner(clip);
  const video = new Float32Array(3 * PLANE);
  for (let i = 0; i < PLANE; i++) {
    const from = sourceIndex(clip, top, left, i);
    for (let c = 0; c < 3; c++) video[c * PLANE + i] = pixels[3 * from + c]! / 127.5 - 1;
  }
  return float32(video, [1, 3, NUM_FRAMES, HEIGHT, WIDTH]);
}

function middleMask(clip: VaeClip, mask: Uint8Array): Uint8Array {
  const [top, left] = corner(clip);
  return Uint8Array.from({ length: PLANE }, (_, i) => mask[sourceIndex(clip, top, left, i)]!);
}

function sourceIndex(clip: VaeClip, top: number, left: number, i: number): number {
  const t = Math.floor(i / (HEIGHT * WIDTH));
  const y = Math.floor(i / WIDTH) % HEIGHT;
  return (t * clip.height + top + y) * clip.width + left + (i % WIDTH);
}
