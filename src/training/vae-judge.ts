import { type WanVaeConfig } from "../models/wan-vae/config.ts";
import { type Tensor, float32 } from "../tensor/tensor.ts";
import { type Params } from "./train.ts";
import { type VaeClip } from "./vae-clips.ts";
import { VaeProbe } from "./vae-features.ts";

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
    const errors = Object.fromEntries(
      ["picture", "person", "face", "firstFrame", "skeleton", "handNormals", "hands"].map((name) => [
        name,
        { squares: 0, count: 0 },
      ]),
    );
    for (const clip of this.clips) {
      for (const kind of ["frames", "skeleton", "handNormals"] as const) {
        const video = middleOf(clip, clip[kind]);
        const [mask, face] = [middleMask(clip, clip.mask), middleMask(clip, clip.face)];
        const { decoded } = await this.probe.run(weights, video);
        const plane = NUM_FRAMES * HEIGHT * WIDTH;
        for (let i = 0; i < decoded.data.length; i++) {
          const pixel = i % plane;
          const value = Math.min(1, Math.max(-1, decoded.data[i]!));
          const square = ((value - video.data[i]!) / 2) ** 2;
          const note = (name: string): void => {
            errors[name]!.squares += square;
            errors[name]!.count++;
          };
          if (kind === "frames") {
            note("picture");
            if (mask[pixel]! > 127) note("person");
            if (mask[pixel]! > 127 && face[pixel]! > 0) note("face");
            if (pixel < HEIGHT * WIDTH) note("firstFrame");
          } else note(kind);
          if (
            kind === "handNormals" &&
            video.data[pixel]! + video.data[pixel + plane]! + video.data[pixel + 2 * plane]! > -3
          ) {
            note("hands");
          }
        }
      }
    }
    const decibels = (name: string): number => -10 * Math.log10(errors[name]!.squares / errors[name]!.count);
    return {
      picture: decibels("picture"),
      person: decibels("person"),
      face: decibels("face"),
      firstFrame: decibels("firstFrame"),
      skeleton: decibels("skeleton"),
      handNormals: decibels("handNormals"),
      hands: decibels("hands"),
    };
  }

  release(): Promise<void> {
    return this.probe.release();
  }
}

const corner = (clip: VaeClip): readonly [top: number, left: number] => [
  (clip.height - HEIGHT) >> 1,
  (clip.width - WIDTH) >> 1,
];

function middleOf(clip: VaeClip, pixels: Uint8Array): Tensor<"float32"> {
  const [top, left] = corner(clip);
  const plane = NUM_FRAMES * HEIGHT * WIDTH;
  const video = new Float32Array(3 * plane);
  for (let i = 0; i < plane; i++) {
    const from = sourceIndex(clip, top, left, i);
    for (let c = 0; c < 3; c++) video[c * plane + i] = pixels[3 * from + c]! / 127.5 - 1;
  }
  return float32(video, [1, 3, NUM_FRAMES, HEIGHT, WIDTH]);
}

function middleMask(clip: VaeClip, mask: Uint8Array): Uint8Array {
  const [top, left] = corner(clip);
  return Uint8Array.from(
    { length: NUM_FRAMES * HEIGHT * WIDTH },
    (_, i) => mask[sourceIndex(clip, top, left, i)]!,
  );
}

function sourceIndex(clip: VaeClip, top: number, left: number, i: number): number {
  const t = Math.floor(i / (HEIGHT * WIDTH));
  const y = Math.floor(i / WIDTH) % HEIGHT;
  return (t * clip.height + top + y) * clip.width + left + (i % WIDTH);
}
