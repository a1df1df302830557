import type { Cloth, Identity } from "./identity.ts";
import type { Scene } from "./scene.ts";

const article = (words: string) => (/^[aeiou]/.test(words) ? `an ${words}` : `a ${words}`);

function patternWords({ pattern, second }: Cloth): string {
  switch (pattern) {
    case "plain":
      return "";
    case "band":
    case "disc":
      return ` with ${article(second.name)} ${pattern}`;
    case "split":
      return ` with ${second.name} shoulders`;
    default:
      return ` with ${second.name} ${pattern}`;
  }
}

function clothesWords({ top, bottom }: Identity): string {
  const pattern = patternWords(top);
  if (bottom.kind === "dress") return `${article(top.colour.name)} dress${pattern}`;
  const name = { none: "tank top", short: "T-shirt", long: "long-sleeved shirt" }[top.sleeves];
  const lower = `${bottom.colour.name} ${bottom.kind}`;
  return `${article(top.colour.name)} ${name}${pattern} and ${bottom.kind === "skirt" ? article(lower) : lower}`;
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
