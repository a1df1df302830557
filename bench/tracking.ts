/**
 * How well one of several people is followed, on rendered clips whose truth is known.
 * Usage: npx tsx bench/tracking.ts [lite|full|heavy] [words of the clips' names]
 */
import { type Performer, renderGroup } from "../src/avatar/group.ts";
import { makeIdentity } from "../src/avatar/identity.ts";
import { type Motion, makeMotion } from "../src/avatar/motion.ts";
import { makeScene } from "../src/avatar/scene.ts";
import { type Image, imageFromBytes } from "../src/media/pixels.ts";
import { type PoseKeypoints, bodyIndex, transformPose } from "../src/media/pose-keypoints.ts";
import { PersonFinder, type SourceFrame } from "../src/perception/analyze-video.ts";
import { choosePerson, rankPeople, tracksToFollow } from "../src/perception/choose-person.ts";
import { EmbeddedEyes } from "../src/perception/embedded-eyes.ts";
import { fillGaps } from "../src/perception/fill-gaps.ts";
import { Guide } from "../src/perception/guide.ts";
import type { PersonFrame } from "../src/perception/person-frame.ts";
import type { Point } from "../src/perception/region.ts";
import { smoothPoses } from "../src/perception/smooth.ts";
import { surveyFrames } from "../src/perception/survey.ts";
import { trackPeople } from "../src/perception/tracks.ts";

const FPS = 16;
const NUM_FRAMES = 32;
const [WIDTH, HEIGHT] = [512, 384];

/** Someone's truth in a frame. */
interface Truth {
  readonly pose: PoseKeypoints;
  /** Share of the picture that shows them. */
  readonly share: number;
}

interface Clip {
  readonly frames: readonly Image[];
  /** By frame, then by person; the person to follow is 0. */
  readonly truth: readonly (readonly Truth[])[];
}

type Place = (timeS: number) => { x: number; z: number };

const still =
  (x: number, z = 0): Place =>
  () => ({ x, z });
const walking =
  (from: number, to: number, z: number): Place =>
  (t) => ({ x: from + ((to - from) * t * FPS) / NUM_FRAMES, z });

function person(seed: number, placeAt: Place, turn = 0): Performer {
  const dance = makeMotion(seed, "varied");
  const motion: Motion =
    turn === 0 ? dance : { poseAt: (t) => ({ ...dance.poseAt(t), yaw: dance.poseAt(t).yaw + turn }) };
  return { identity: makeIdentity(seed), motion, placeAt };
}

/** @param blur pictures per frame that are averaged, over half the time of a frame */
function render(sceneSeed: number, people: readonly Performer[], numFrames = NUM_FRAMES, blur = 1): Clip {
  const scene = { ...makeScene(sceneSeed), shot: "full body", span: [-0.12, 1.2] } as const;
  const perFrame = blur === 1 ? 1 : 2 * blur;
  const size = { width: WIDTH, height: HEIGHT };
  const request = { scene, people, numFrames: numFrames * perFrame, fps: FPS * perFrame, ...size };
  const all = [...renderGroup(request)];
  const frames: Image[] = [];
  const truth: Truth[][] = [];
  for (let f = 0; f < numFrames; f++) {
    const open = all.slice(perFrame * f, perFrame * f + blur);
    frames.push(mean(open.map(({ image }) => image)));
    const middle = open[blur >> 1]!;
    truth.push(
      middle.people.map(({ keypoints, mask }) => ({
        pose: keypoints,
        share: mask.reduce((sum, m) => sum + m, 0) / 255 / mask.length,
      })),
    );
  }
  return { frames, truth };
}

function mean(images: readonly Image[]): Image {
  if (images.length === 1) return images[0]!;
  const { width, height, data } = images[0]!;
  const out = data.map((_, i) => images.reduce((sum, image) => sum + image.data[i]!, 0) / images.length);
  return imageFromBytes(width, height, Uint8Array.from(out));
}

/** A camera that looks at a part of the picture, moving from frame to frame. */
function filmed(clip: Clip, cornerAt: (frame: number) => Point): Clip {
  const [width, height] = [Math.round(WIDTH * 0.8), Math.round(HEIGHT * 0.8)];
  const corners = clip.frames.map((_, f) => cornerAt(f));
  return {
    frames: clip.frames.map((image, f) => {
      const [left, top] = [Math.round(corners[f]!.x), Math.round(corners[f]!.y)];
      const data = new Uint8Array(3 * width * height);
      for (let y = 0; y < height; y++) {
        const from = 3 * ((y + top) * image.width + left);
        data.set(image.data.subarray(from, from + 3 * width), 3 * y * width);
      }
      return imageFromBytes(width, height, data);
    }),
    truth: clip.truth.map((people, f) =>
      people.map(({ pose, share }) => {
        const to = { left: Math.round(corners[f]!.x), top: Math.round(corners[f]!.y), scaleX: 1, scaleY: 1 };
        return { pose: transformPose(pose, to), share };
      }),
    ),
  };
}

function cut(first: Clip, second: Clip): Clip {
  return { frames: [...first.frames, ...second.frames], truth: [...first.truth, ...second.truth] };
}

const half = NUM_FRAMES / 2;
const away: Place = (t) => ({
  x: -0.5 - 2.6 * Math.sin(Math.PI * Math.min(1, Math.max(0, (t - 0.2) / 1.5))),
  z: 0,
});

const CLIPS: readonly (readonly [name: string, make: () => Clip])[] = [
  ...[3, 4, 5, 6].map((s) => [`one person, ${s}`, () => render(s, [person(s, still(0))])] as const),
  ...[7, 8].map(
    (s) => [`one person, from the side, ${s}`, () => render(s, [person(s, still(0), 1.4)])] as const,
  ),
  ...[9, 10].map(
    (s) => [`one person, from behind, ${s}`, () => render(s, [person(s, still(0), Math.PI)])] as const,
  ),
  ...[3, 8].map(
    (s) => [`one person, blurred, ${s}`, () => render(s, [person(s, still(0))], NUM_FRAMES, 3)] as const,
  ),
  ...[4, 9].map(
    (s) =>
      [
        `one person, panning camera, ${s}`,
        () => filmed(render(s, [person(s, still(0))]), (f) => ({ x: 20 + 2 * f, y: 40 })),
      ] as const,
  ),
  ...[5, 10].map(
    (s) =>
      [
        `one person, shaking camera, ${s}`,
        () =>
          filmed(render(s, [person(s, still(0))]), (f) => ({
            x: 50 + 8 * Math.sin(5 * f),
            y: 40 + 8 * Math.sin(7 * f),
          })),
      ] as const,
  ),
  ...[3, 5, 7, 9].map(
    (s) =>
      [
        `two cross, the nearer one, ${s}`,
        () => render(s, [person(s, walking(1.2, -1.2, 0.5)), person(s + 1, walking(-1.2, 1.2, 0))]),
      ] as const,
  ),
  ...[3, 5, 7, 9].map(
    (s) =>
      [
        `two cross, the farther one, ${s}`,
        () => render(s, [person(s, walking(-1.2, 1.2, 0)), person(s + 1, walking(1.2, -1.2, 0.5))]),
      ] as const,
  ),
  ...[3, 6].map(
    (s) =>
      [
        `three, two of them cross, ${s}`,
        () =>
          render(s, [
            person(s, walking(-1.1, 1.1, 0)),
            person(s + 1, walking(1.1, -1.1, 0.5)),
            person(s + 2, still(0.4, -0.9)),
          ]),
      ] as const,
  ),
  ...[3, 5, 7].map(
    (s) =>
      [
        `leaves and comes back, ${s}`,
        () => render(s, [person(s, away), person(s + 1, still(0.9, -0.4))]),
      ] as const,
  ),
  ...[4, 6, 8].map(
    (s) =>
      [
        `cut between two, ${s}`,
        () =>
          cut(
            render(s, [person(s, still(-0.6, 0.1)), person(s + 1, still(0.7))], half),
            render(s + 5, [person(s, still(0.6, -0.3)), person(s + 1, still(-0.6))], half),
          ),
      ] as const,
  ),
];

interface Row {
  readonly visible: number;
  readonly right: number;
  readonly wrong: number;
  readonly errors: readonly number[];
  readonly jitter: readonly [found: number, smoothed: number];
  readonly delay: number;
  readonly hands: readonly [found: number, visible: number];
}

async function follow(clip: Clip, quality: "lite" | "full" | "heavy") {
  const source: SourceFrame[] = clip.frames.map((image, i) => ({ image, timeS: i / FPS }));
  const eyes = await EmbeddedEyes.load({ quality: "lite" });
  const survey = await surveyFrames(source, eyes);
  await eyes.release();
  const people = rankPeople(trackPeople(survey));
  const chosen = choosePerson(people, hipsOf(clip.truth[0]![0]!.pose));
  const guide = new Guide(tracksToFollow(chosen, people, survey), people, survey);
  const finder = await PersonFinder.load({ quality });
  const found: PersonFrame[] = [];
  for await (const frame of fillGaps(finder.find(source, { guide }))) found.push(frame);
  await finder.release();
  const smoothed: PersonFrame[] = [];
  for await (const frame of smoothPoses(stream(found))) smoothed.push(frame);
  return { found, smoothed };
}

async function* stream(frames: readonly PersonFrame[]): AsyncGenerator<PersonFrame> {
  yield* frames;
}

const hipsOf = ({ body }: PoseKeypoints): Point => {
  const [left, right] = [body[bodyIndex("leftHip")]!, body[bodyIndex("rightHip")]!];
  return { x: (left.x + right.x) / 2, y: (left.y + right.y) / 2 };
};

const distance = (a: Point, b: Point): number => Math.hypot(a.x - b.x, a.y - b.y);

/** Length of the trunk in the truth: the unit of errors. */
const trunkOf = (pose: PoseKeypoints): number => distance(pose.body[bodyIndex("neck")]!, hipsOf(pose));

const meanDistance = (a: PoseKeypoints, b: PoseKeypoints): number =>
  a.body.reduce((sum, point, i) => sum + distance(point, b.body[i]!), 0) / a.body.length;

function judge(clip: Clip, found: readonly PersonFrame[], smoothed: readonly PersonFrame[]): Row {
  const usual = clip.truth.map((people) => people[0]!.share).toSorted((a, b) => b - a)[
    Math.floor(clip.truth.length / 3)
  ]!;
  const isVisible = clip.truth.map((people) => people[0]!.share > 0.5 * usual);
  const isRight = found.map((frame, f) => {
    const distances = clip.truth[f]!.map(({ pose }) => meanDistance(frame.pose, pose));
    return distances.indexOf(Math.min(...distances)) === 0;
  });
  const errors: number[] = [];
  let [squares, smoothSquares, count, numerator, denominator] = [0, 0, 0, 0, 0];
  let [handsFound, handsVisible] = [0, 0];
  for (let f = 0; f < found.length; f++) {
    const truth = clip.truth[f]![0]!.pose;
    const unit = trunkOf(truth);
    const counts = (k: number): boolean => found[k]?.found.body === true && isRight[k]! && isVisible[k]!;
    if (!counts(f)) continue;
    for (const side of ["leftHand", "rightHand"] as const) {
      if (!truth[side].every(({ score }) => score >= 0.7)) continue;
      handsVisible++;
      if (found[f]!.found[side]) handsFound++;
    }
    truth.body.forEach((exact, i) => {
      if (exact.score === 0 || found[f]!.pose.body[i]!.score < 0.3) return;
      errors.push(distance(smoothed[f]!.pose.body[i]!, exact) / unit);
      if (!counts(f - 1) || !counts(f + 1) || found[f]!.cut || found[f + 1]!.cut) return;
      for (const axis of ["x", "y"] as const) {
        const bend = (frames: readonly PersonFrame[]): number => {
          const at = (k: number): number =>
            frames[k]!.pose.body[i]![axis] - clip.truth[k]![0]!.pose.body[i]![axis];
          return (at(f - 1) - 2 * at(f) + at(f + 1)) / unit;
        };
        squares += bend(found) ** 2;
        smoothSquares += bend(smoothed) ** 2;
        count++;
        // What smoothing adds to the delay: the change of speed that is missing, by the true change of speed.
        const exactAt = (k: number): number => clip.truth[k]![0]!.pose.body[i]![axis];
        const turn = exactAt(f + 1) - 2 * exactAt(f) + exactAt(f - 1);
        const speed = (frames: readonly PersonFrame[]): number =>
          (frames[f + 1]!.pose.body[i]![axis] - frames[f - 1]!.pose.body[i]![axis]) / 2;
        numerator += (speed(found) - speed(smoothed)) * turn;
        denominator += turn * turn;
      }
    });
  }
  return {
    visible: isVisible.filter(Boolean).length,
    right: found.filter((frame, f) => isVisible[f] && frame.found.body && isRight[f]).length,
    wrong: found.filter((frame, f) => frame.found.body && !isRight[f]).length,
    errors,
    jitter: [Math.sqrt(squares / count), Math.sqrt(smoothSquares / count)],
    delay: numerator / denominator,
    hands: [handsFound, handsVisible],
  };
}

const percent = (share: number): string => (100 * share).toFixed(1);
const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1] ?? NaN;

const [quality = "heavy", ...words] = process.argv.slice(2);
if (quality !== "lite" && quality !== "full" && quality !== "heavy")
  throw new Error(`no quality "${quality}"`);
console.log("| clip | seen | right | wrong | error % | jitter % | smoothed % | delay, frames | hands |");
console.log("|---|---|---|---|---|---|---|---|---|");
for (const [name, make] of CLIPS) {
  if (!words.every((word) => name.includes(word))) continue;
  const clip = make();
  const { found, smoothed } = await follow(clip, quality);
  const { visible, right, wrong, errors, jitter, delay, hands } = judge(clip, found, smoothed);
  console.log(
    `| ${name} | ${visible} | ${right} | ${wrong} | ${percent(median(errors))} | ${percent(jitter[0])} | ` +
      `${percent(jitter[1])} | ${delay.toFixed(2)} | ${hands[0]}/${hands[1]} |`,
  );
}
