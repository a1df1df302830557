import type { World } from "./motion.ts";
import { CLOTH, EYES, HAIR, type NamedColour, type Rgb, shade, SKIN, TROUSER_CLOTH } from "./palette.ts";
import { Random } from "../tensor/random.ts";

/** Sizes of a body in metres; 1.7 m tall when `height` is 1. */
export interface BodyShape {
  /** Overall size. */
  readonly height: number;
  readonly legLength: number;
  readonly armLength: number;
  readonly headSize: number;
  /** Widths relative to an average adult. */
  readonly shoulders: number;
  readonly chest: number;
  readonly waist: number;
  readonly hips: number;
  readonly limbs: number;
  /** 0 flat, 1 full. */
  readonly bust: number;
  readonly belly: number;
}

export type HairStyle = "bald" | "crop" | "swept" | "bob" | "long" | "ponytail" | "bun" | "afro";
export type PatternKind = "plain" | "stripes" | "pinstripes" | "checks" | "dots" | "band" | "disc" | "split";

/** Cloth with up to two colours. */
export interface Cloth {
  readonly colour: NamedColour;
  readonly second: NamedColour;
  readonly pattern: PatternKind;
  /** Metres from one stripe, check or dot to the next. */
  readonly pitch: number;
}

export interface Top extends Cloth {
  readonly sleeves: "none" | "short" | "long";
  readonly neckline: "round" | "v" | "high";
  readonly tucked: boolean;
}

export interface Bottom extends Cloth {
  readonly kind: "trousers" | "shorts" | "skirt" | "dress";
  /** Skirts: metres below the hip joint. */
  readonly length: number;
  /** Extra radius at the hem, metres. */
  readonly flare: number;
}

export interface Face {
  readonly eyes: Rgb;
  readonly lips: Rgb;
  readonly brows: Rgb;
  /** Relative sizes. */
  readonly eyeSize: number;
  readonly noseSize: number;
  readonly mouthWidth: number;
  readonly smile: number;
  readonly beard: boolean;
}

/** A person: the same seed is the same person in every scene and every motion. */
export interface Identity {
  readonly subject: "woman" | "man";
  readonly body: BodyShape;
  readonly skin: Rgb;
  readonly hair: { readonly style: HairStyle; readonly colour: NamedColour };
  readonly face: Face;
  readonly top: Top;
  readonly bottom: Bottom;
  readonly shoes: NamedColour;
  readonly soles: Rgb;
}

const EASY_PATTERNS: readonly PatternKind[] = [
  "plain",
  "plain",
  "plain",
  "plain",
  "plain",
  "stripes",
  "band",
  "disc",
  "split",
];
const ALL_PATTERNS: readonly PatternKind[] = [
  ...EASY_PATTERNS,
  "pinstripes",
  "checks",
  "dots",
  "stripes",
  "checks",
];

function makeCloth(
  random: Random,
  colours: readonly NamedColour[],
  patterns: readonly PatternKind[],
  not: string,
): Cloth {
  const colour = random.choice(colours.filter((c) => c.name !== not));
  const contrast = colours.filter((c) => Math.abs(brightness(c) - brightness(colour)) > 0.25);
  return {
    colour,
    second: random.choice(contrast.length > 0 ? contrast : colours),
    pattern: random.choice(patterns),
    pitch: random.uniform(0.075, 0.13),
  };
}

function brightness({ rgb }: NamedColour): number {
  return 0.3 * rgb[0] + 0.59 * rgb[1] + 0.11 * rgb[2];
}

function makeBody(random: Random, woman: boolean): BodyShape {
  const build = random.uniform(-1, 1);
  return {
    height: random.uniform(0.92, 1.05) + (woman ? 0 : 0.04),
    legLength: random.uniform(0.96, 1.05),
    armLength: random.uniform(0.96, 1.03),
    headSize: random.uniform(1.12, 1.24),
    shoulders: (woman ? 0.9 : 1.04) + 0.05 * build + random.uniform(-0.03, 0.03),
    chest: (woman ? 0.88 : 1.02) + 0.1 * build,
    waist: (woman ? 0.84 : 1.0) + 0.13 * build,
    hips: (woman ? 1.03 : 0.95) + 0.08 * build,
    limbs: (woman ? 0.92 : 1.04) + 0.1 * build,
    bust: woman ? random.uniform(0.5, 1) : 0,
    belly: woman ? 0 : Math.max(0, build) * random.uniform(0, 1),
  };
}

/** Draws a person from a seed. The easy world keeps to plain clothes with a few bold patterns. */
export function makeIdentity(seed: number, world: World = "easy"): Identity {
  const random = new Random(seed).fork("identity");
  const woman = random.chance(0.5);
  const body = makeBody(random, woman);
  const skin = random.choice(SKIN);
  const patterns = world === "easy" ? EASY_PATTERNS : ALL_PATTERNS;
  const styles: readonly HairStyle[] = woman
    ? ["bob", "long", "long", "ponytail", "ponytail", "bun", "afro", "swept"]
    : ["crop", "crop", "swept", "swept", "bald", "afro", "bun"];
  const style = random.choice(styles);
  // dyed hair is rarer than grown hair
  const hairColour = random.choice(random.chance(0.85) ? HAIR.slice(0, 5) : HAIR.slice(5));
  const cloth = makeCloth(random, CLOTH, patterns, "");
  const lower = makeCloth(random, TROUSER_CLOTH, ["plain"], cloth.colour.name);
  const kind = random.choice<Bottom["kind"]>(
    woman
      ? ["trousers", "trousers", "shorts", "skirt", "skirt", "dress"]
      : ["trousers", "trousers", "trousers", "shorts"],
  );
  const dress = kind === "dress";
  const length = random.uniform(0.3, 0.56);
  const shoes = random.choice(CLOTH.filter((c) => c.name !== lower.colour.name));
  const dark = skin[0] < 0.5;
  return {
    subject: woman ? "woman" : "man",
    body,
    skin,
    hair: { style, colour: hairColour },
    face: {
      eyes: random.choice(EYES),
      lips: woman ? [0.78, 0.22, 0.28] : [skin[0] * 0.78, skin[1] * 0.55, skin[2] * 0.55],
      brows: style === "bald" || dark ? [0.12, 0.08, 0.06] : shade(hairColour.rgb, 0.62),
      eyeSize: random.uniform(1.0, 1.2) * (woman ? 1.06 : 1),
      noseSize: random.uniform(0.85, 1.15) * (woman ? 0.9 : 1.08),
      mouthWidth: random.uniform(0.28, 0.36),
      smile: random.uniform(0.25, 0.7),
      beard: !woman && random.chance(0.3),
    },
    top: {
      ...cloth,
      sleeves: random.choice<Top["sleeves"]>(
        woman ? ["none", "short", "short", "long"] : ["short", "short", "long", "long"],
      ),
      neckline: random.choice<Top["neckline"]>(["round", "round", "v", "high"]),
      tucked: dress || kind === "skirt" || random.chance(0.4),
    },
    bottom: {
      ...(dress ? cloth : lower),
      kind,
      length,
      flare: kind === "trousers" ? random.uniform(0.004, 0.026) : random.uniform(0.03, 0.1),
    },
    shoes,
    soles: shoes.name === "white" ? [0.75, 0.75, 0.75] : [0.93, 0.93, 0.91],
  };
}
