import { type Clothes, clothesOf, likeness, meanClothes } from "./clothes.ts";
import type { Place, SeenBody } from "./eyes.ts";
import type { ImagePyramid } from "./region.ts";
import type { Box, Sighting, Survey } from "./survey.ts";
import type { Track, TrackedPerson } from "./tracks.ts";

/** What is known about a frame before it is looked at closely. */
export interface FrameGuide {
  /** Whether the frame begins a new shot. */
  readonly isCut: boolean;
  readonly numPeople: number;
  /** Around everybody but the followed person. */
  readonly others: readonly Box[];
  /** Whether a body may be that of the followed person. */
  readonly accepts: (body: SeenBody, frame: ImagePyramid) => boolean;
  /** The likeliest of bodies. */
  readonly nearest: (bodies: readonly SeenBody[]) => SeenBody | undefined;
}

/** A track says where its person is from this long before its first sighting until this long after its last. */
const OVERHANG_S = 0.3;
/** A body this near to a person's place, in sizes, may be theirs. */
const AT_PLACE = 0.15;
/** The followed person may be this far from their place though somebody else is nearer to theirs. */
const OWN_PLACE = 0.06;
/** People nearer to each other than this, in sizes, are told apart by their clothes. */
const CROSSING = 0.45;
/** Somebody else's clothes must be this much more alike. */
const CLEARLY = 0.08;

/** Tells a tracker, frame by frame, who is the person to follow and who is not. */
export class Guide {
  private readonly own: readonly Path[];
  private readonly others: readonly Path[];
  private readonly cuts: ReadonlySet<number>;

  constructor(
    followed: readonly Track[],
    people: readonly TrackedPerson[],
    { cuts, numFrames, fps }: Pick<Survey, "cuts" | "numFrames" | "fps">,
  ) {
    const tracks = people.flatMap((person) => person.tracks);
    this.cuts = new Set(cuts);
    const overhang = Math.round(OVERHANG_S * fps);
    const shotOf = (frame: number): number => cuts.filter((cut) => cut <= frame).length;
    const bounds = [0, ...cuts, numFrames];
    const pathOf = (track: Track): Path => {
      const shot = shotOf(track.sightings[0]!.frame);
      return new Path(track, overhang, bounds[shot]!, bounds[shot + 1]! - 1);
    };
    this.own = followed.map(pathOf);
    this.others = tracks.filter((track) => !followed.includes(track)).map(pathOf);
  }

  at(index: number): FrameGuide {
    const own = this.own.filter((path) => path.covers(index));
    const others = this.others.filter((path) => path.covers(index));
    const distanceTo = (paths: readonly Path[], { place }: SeenBody): number =>
      Math.min(...paths.map((path) => path.distance(index, place)));
    return {
      isCut: this.cuts.has(index),
      numPeople: (own.length > 0 ? 1 : 0) + others.length,
      others: others.map((path) => path.box(index)),
      accepts: (body, frame) => {
        const toOthers = distanceTo(others, body);
        if (toOthers === Infinity) return true;
        const toOwn = distanceTo(own, body);
        if (toOwn === Infinity) return toOthers > AT_PLACE;
        if (toOwn > OWN_PLACE && toOthers < Math.min(toOwn, AT_PLACE)) return false;
        if (toOthers > CROSSING) return true;
        const clothes = clothesOf(body.pose, frame);
        const like = (paths: readonly Path[]): number =>
          Math.max(...paths.map((path) => likeness(path.clothes, clothes)));
        return like(others) - like(own) < CLEARLY;
      },
      nearest: (bodies) => {
        // Without a place, or with nobody else around, the largest.
        if (own.length === 0 || others.length === 0) return bodies[0];
        return bodies.toSorted((a, b) => distanceTo(own, a) - distanceTo(own, b))[0];
      },
    };
  }
}

/** Where the person of a track is in every frame. */
class Path {
  readonly clothes: Clothes;
  private readonly first: number;
  private readonly last: number;

  constructor(
    private readonly track: Track,
    overhang: number,
    shotFirst: number,
    shotLast: number,
  ) {
    const { sightings } = track;
    this.clothes = meanClothes(sightings.map((sighting) => sighting.clothes));
    this.first = Math.max(shotFirst, sightings[0]!.frame - overhang);
    this.last = Math.min(shotLast, sightings.at(-1)!.frame + overhang);
  }

  covers(index: number): boolean {
    return index >= this.first && index <= this.last;
  }

  /** From a place to the person's, in the larger of both sizes. */
  distance(index: number, { center: point, size }: Place): number {
    const { from, to, t } = this.around(index);
    const x = between(from.center.x, to.center.x, t);
    const y = between(from.center.y, to.center.y, t);
    return Math.hypot(point.x - x, point.y - y) / Math.max(size, between(from.size, to.size, t));
  }

  box(index: number): Box {
    const { from, to, t } = this.around(index);
    return {
      left: between(from.box.left, to.box.left, t),
      top: between(from.box.top, to.box.top, t),
      right: between(from.box.right, to.box.right, t),
      bottom: between(from.box.bottom, to.box.bottom, t),
    };
  }

  /** The sightings that a frame lies between, and where between them, 0..1. */
  private around(index: number): { readonly from: Sighting; readonly to: Sighting; readonly t: number } {
    const { sightings } = this.track;
    const after = Math.min(sightings.length - 1, this.numBefore(index));
    const to = sightings[after]!;
    const from = sightings[Math.max(0, after - 1)]!;
    const t = to.frame > from.frame ? (index - from.frame) / (to.frame - from.frame) : 0;
    return { from, to, t: Math.min(1, Math.max(0, t)) };
  }

  /** Sightings before a frame, by bisection. */
  private numBefore(index: number): number {
    const { sightings } = this.track;
    let [low, high] = [0, sightings.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (sightings[middle]!.frame < index) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function between(from: number, to: number, t: number): number {
  return from + (to - from) * t;
}
