import type { Identity } from "./identity.ts";
import type { Scene } from "./scene.ts";

const article = (words: string) => (/^[aeiou]/.test(words) ? `an ${words}` : `a ${words}`);

function topWords({ top }: Identity): string {
  const name = { none: "tank top", short: "T-shirt", long: "long-sleeved shirt" }[top.sleeves];
  const second = top.second.name;
  const pattern = {
    plain: "",
    stripes: ` with ${second} stripes`,
    pinstripes: ` with ${second} pinstripes`,
    checks: ` with ${second} checks`,
    dots: ` with ${second} dots`,
    band: ` with ${article(second)} band`,
    disc: ` with ${article(second)} disc`,
    split: ` with ${second} shoulders`,
  }[top.pattern];
  return `${article(`${top.colour.name} ${name}`)}${pattern}`;
}

function clothesWords(identity: Identity): string {
  const { bottom, top } = identity;
  if (bottom.kind === "dress") return article(`${top.colour.name} dress`);
  const lower = `${bottom.colour.name} ${bottom.kind}`;
  return `${topWords(identity)} and ${bottom.kind === "skirt" ? article(lower) : lower}`;
}

function hairWords({ hair: { style, colour } }: Identity): string {
  if (style === "bald") return "a bald head";
  const word = {
    crop: "short hair",
    swept: "short hair",
    bob: "hair in a bob",
    long: "long hair",
    ponytail: "hair in a ponytail",
    bun: "hair in a bun",
    afro: "curly hair",
  };
  const [first, ...rest] = word[style].split(" ");
  return first === "hair" ? [colour.name, "hair", ...rest].join(" ") : `${first} ${colour.name} hair`;
}

function placeWords({ place, wall, floor }: Scene): string {
  switch (place) {
    case "room":
      return `in a room with a ${wall.name} wall and a ${floor.name} floor`;
    case "studio":
      return `in a ${wall.name} studio`;
    case "park":
      return "in a park under a blue sky";
    case "stage":
      return `on a stage with a red curtain and a ${floor.name} floor`;
  }
}

/** What a clip shows, in plain words: the text prompt it is trained with. It contains the subject word. */
export function describeClip(identity: Identity, scene: Scene): string {
  const { subject } = identity;
  return `A ${subject} with ${hairWords(identity)}, wearing ${clothesWords(identity)}, is dancing ${placeWords(scene)}, ${scene.shot} shot.`;
}
