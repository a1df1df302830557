import type { World } from "./motion.ts";
import { BOLD_WALL, FLOOR, type NamedColour, type Rgb, WALL } from "./palette.ts";
import { Random } from "../tensor/random.ts";
import type { Camera } from "./raster.ts";
import { normalize, type Vec3 } from "./vector.ts";

export type Shot = "full body" | "knees up" | "half body" | "close-up";
export type ThingKind = "window" | "picture" | "door" | "shelf" | "plant" | "lamp" | "sofa" | "crate";

/** Something that stands still on or before the wall. x from the middle of the picture, metres. */
export interface Thing {
  readonly kind: ThingKind;
  readonly x: number;
  readonly width: number;
  readonly height: number;
  /** Height of its lower edge above the floor. */
  readonly bottom: number;
  readonly colour: Rgb;
  readonly second: Rgb;
}

export interface Light {
  /** Towards the light, unit length. */
  readonly direction: Vec3;
  readonly ambient: number;
  readonly key: number;
  readonly rim: number;
}

/** A place, its light and a camera that never moves. */
export interface Scene {
  readonly place: "room" | "studio" | "park" | "stage";
  readonly wall: NamedColour;
  readonly floor: NamedColour;
  readonly floorKind: "plain" | "planks" | "tiles";
  readonly things: readonly Thing[];
  /** The wall behind the person, metres from them. */
  readonly wallDistance: number;
  readonly light: Light;
  readonly shot: Shot;
  /** Part of the standing person's height at the lower and the upper edge of the picture. */
  readonly span: readonly [low: number, high: number];
  /** Metres from the camera to the person, and of the person from the middle of the picture. */
  readonly distance: number;
  readonly aside: number;
}

const THINGS: readonly ThingKind[] = [
  "window",
  "picture",
  "picture",
  "door",
  "shelf",
  "plant",
  "lamp",
  "sofa",
  "crate",
];

const SIZES: { readonly [K in ThingKind]: readonly [width: number, height: number, bottom: number] } = {
  window: [0.85, 1.0, 1.15],
  picture: [0.5, 0.4, 1.45],
  door: [0.85, 2.05, 0],
  shelf: [0.75, 0.75, 1.0],
  plant: [0.55, 1.15, 0],
  lamp: [0.4, 1.55, 0],
  sofa: [1.35, 0.8, 0],
  crate: [0.5, 0.5, 0],
};

const ACCENTS: readonly Rgb[] = [
  [0.86, 0.62, 0.28],
  [0.72, 0.36, 0.3],
  [0.32, 0.5, 0.66],
  [0.4, 0.58, 0.42],
  [0.62, 0.5, 0.68],
  [0.9, 0.88, 0.82],
  [0.42, 0.32, 0.26],
];

function makeThings(random: Random, count: number): Thing[] {
  const things: Thing[] = [];
  for (let i = 0; i < count; i++) {
    const kind = random.choice(THINGS);
    const [width, height, bottom] = SIZES[kind];
    const size = random.uniform(0.85, 1.15);
    // to the sides, where the person does not hide them
    const side = i % 2 === 0 ? 1 : -1;
    const x = side * random.uniform(0.45, 1.15);
    if (things.some((other) => Math.abs(other.x - x) < 0.5 * (other.width + width * size) + 0.06)) continue;
    things.push({
      kind,
      x,
      width: width * size,
      height: height * size,
      bottom,
      colour: random.choice(ACCENTS),
      second: random.choice(ACCENTS),
    });
  }
  return things;
}

const SPANS: { readonly [S in Shot]: readonly [low: number, high: number] } = {
  "full body": [-0.07, 1.14],
  "knees up": [0.16, 1.15],
  "half body": [0.42, 1.12],
  "close-up": [0.64, 1.09],
};

/** Draws a place, a light and a shot from a seed. The easy world keeps to quiet rooms and large figures. */
export function makeScene(seed: number, world: World = "easy"): Scene {
  const random = new Random(seed).fork("scene");
  const easy = world === "easy";
  const place = random.choice<Scene["place"]>(
    easy ? ["room", "room", "room", "studio"] : ["room", "room", "studio", "park", "stage"],
  );
  const shot = random.choice<Shot>(
    easy
      ? ["full body", "full body", "full body", "knees up", "knees up", "half body"]
      : ["full body", "full body", "full body", "knees up", "half body", "close-up"],
  );
  const [low, high] = SPANS[shot];
  const closer = random.uniform(-0.02, easy ? 0.02 : 0.12);
  const bold = !easy && random.chance(0.35);
  const side = random.chance(0.5) ? 1 : -1;
  return {
    place,
    wall: random.choice(bold ? BOLD_WALL : WALL),
    floor: random.choice(FLOOR),
    floorKind: random.choice<Scene["floorKind"]>(["plain", "planks", "tiles"]),
    things: place === "room" ? makeThings(random, easy ? 1 + random.integer(2) : random.integer(5)) : [],
    wallDistance: random.uniform(1.1, 1.7),
    light: {
      direction: normalize([
        side * random.uniform(0.25, 0.75),
        random.uniform(0.3, 0.62),
        random.uniform(0.6, 1),
      ]),
      ambient: random.uniform(0.56, 0.64),
      key: random.uniform(0.5, 0.58),
      rim: random.uniform(0.12, 0.26),
    },
    shot,
    span: [low - closer / 2, high + closer],
    distance: random.uniform(3.6, 4.6),
    aside: random.uniform(-0.08, 0.08),
  };
}

/** The camera of a scene for a person of `height` metres and a picture of `width` x `heightPx` pixels. */
export function cameraFor(scene: Scene, height: number, width: number, heightPx: number): Camera {
  const [low, high] = [scene.span[0] * height, scene.span[1] * height];
  const focal = (heightPx * scene.distance) / (high - low);
  // at eye level of the chest, or lower when the picture shows only the head
  const y = Math.min(0.72 * height, (low + high) / 2 + 0.25 * height);
  return {
    x: -scene.aside,
    y,
    distance: scene.distance,
    focal,
    centreX: width / 2,
    centreY: heightPx * ((high - y) / (high - low)),
  };
}
