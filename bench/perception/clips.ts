/** The clips: dances of one, two and three people before all kinds of cameras, and in all kinds of files. */
import {
  away,
  type Clip,
  cut,
  filmed,
  FPS,
  NUM_FRAMES,
  person,
  render,
  type RenderOptions,
  still,
  walking,
} from "./clip.ts";
import { type Delivery, unevenTimes } from "./delivery.ts";

export interface NamedClip {
  readonly name: string;
  readonly make: () => Clip;
  /** The file that it comes in; frames in memory otherwise. */
  readonly delivery?: Delivery;
}

/** One clip for each seed. */
function series(name: string, seeds: readonly number[], make: (seed: number) => Clip): NamedClip[] {
  return seeds.map((seed) => ({ name: `${name}, ${seed}`, make: () => make(seed) }));
}

const alone = (seed: number, turn = 0, options: RenderOptions = {}): Clip =>
  render(seed, [person(seed, still(0), turn)], options);

const half = { numFrames: NUM_FRAMES / 2 };

const IN_MEMORY: readonly NamedClip[] = [
  ...series("one person", [3, 4, 5, 6], (s) => alone(s)),
  ...series("one person, from the side", [7, 8], (s) => alone(s, 1.4)),
  ...series("one person, from behind", [9, 10], (s) => alone(s, Math.PI)),
  ...series("one person, blurred", [3, 8], (s) => alone(s, 0, { blur: 3 })),
  ...series("one person, panning camera", [4, 9], (s) => filmed(alone(s), (f) => ({ x: 20 + 2 * f, y: 40 }))),
  ...series("one person, shaking camera", [5, 10], (s) =>
    filmed(alone(s), (f) => ({ x: 50 + 8 * Math.sin(5 * f), y: 40 + 8 * Math.sin(7 * f) })),
  ),
  ...series("two cross, the nearer one", [3, 5, 7, 9], (s) =>
    render(s, [person(s, walking(1.2, -1.2, 0.5)), person(s + 1, walking(-1.2, 1.2, 0))]),
  ),
  ...series("two cross, the farther one", [3, 5, 7, 9], (s) =>
    render(s, [person(s, walking(-1.2, 1.2, 0)), person(s + 1, walking(1.2, -1.2, 0.5))]),
  ),
  ...series("three, two of them cross", [3, 6], (s) =>
    render(s, [
      person(s, walking(-1.1, 1.1, 0)),
      person(s + 1, walking(1.1, -1.1, 0.5)),
      person(s + 2, still(0.4, -0.9)),
    ]),
  ),
  ...series("leaves and comes back", [3, 5, 7], (s) =>
    render(s, [person(s, away), person(s + 1, still(0.9, -0.4))]),
  ),
  ...series("cut between two", [4, 6, 8], (s) =>
    cut(
      render(s, [person(s, still(-0.6, 0.1)), person(s + 1, still(0.7))], half),
      render(s + 5, [person(s, still(0.6, -0.3)), person(s + 1, still(-0.6))], half),
    ),
  ),
];

const NTSC = 30000 / 1001;

const IN_FILES: readonly NamedClip[] = [
  { name: "file, turned by 90 degrees", make: () => alone(4), delivery: { rotation: 90 } },
  { name: "file, turned by 180 degrees", make: () => alone(5), delivery: { rotation: 180 } },
  { name: "file, turned by 270 degrees", make: () => alone(6), delivery: { rotation: 270 } },
  {
    name: "file, variable frame rate, sound",
    make: () => alone(3, 0, { fps: 24 }),
    delivery: { timesS: unevenTimes(48, 24), sound: "aac" },
  },
  {
    name: "file, two cross, variable frame rate",
    make: () =>
      render(5, [person(5, walking(1.2, -1.2, 0.5)), person(6, walking(-1.2, 1.2, 0))], { fps: 24 }),
    delivery: { timesS: unevenTimes(48, 24) },
  },
  {
    name: "file, 385x289",
    make: () => alone(5, 0, { width: 385, height: 289 }),
    delivery: { pixelFormat: "yuv444p" },
  },
  {
    name: "file, 271x483, from the side",
    make: () => alone(7, 1.4, { width: 271, height: 483 }),
    delivery: { pixelFormat: "yuv444p" },
  },
  {
    name: "file, 29.97 frames a second, kept, sound",
    make: () => alone(6, 0, { fps: NTSC, numFrames: 48 }),
    delivery: { isExact: true, fps: "source", sound: "aac" },
  },
  {
    name: "file, part of it at 10 frames a second, sound",
    make: () => alone(8),
    delivery: { start: 0.45, end: 1.85, fps: 10, sound: "aac" },
  },
  {
    name: "file of a camera: MOV, PCM sound, part",
    make: () => alone(9),
    delivery: { container: "mov", start: 0.25, sound: "pcm_s16le" },
  },
  {
    name: "file of a browser: Matroska, Opus sound, part",
    make: () => alone(7),
    delivery: { container: "mkv", start: 0.45, fps: 12, sound: "opus" },
  },
  {
    name: "file, Matroska, Vorbis sound",
    make: () => alone(4),
    delivery: { container: "mkv", sound: "vorbis" },
  },
  {
    name: "file of a phone: turned, variable frame rate, part, sound",
    make: () => alone(10, 0, { width: 288, height: 512, fps: 24 }),
    delivery: { rotation: 90, timesS: unevenTimes(48, 24), start: 0.3, fps: FPS, sound: "aac" },
  },
];

export const CLIPS: readonly NamedClip[] = [...IN_MEMORY, ...IN_FILES];
