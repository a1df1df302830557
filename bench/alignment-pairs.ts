/**
 * Pictures of motions on bodies that are unlike the driver's: an adult's on a child and back, a close-up's on a whole body
 * and back.
 * Usage: npx tsx bench/alignment-pairs.ts OUT_FOLDER [words of the pairs' names]
 *
 * For each pair a reference and a driving video are rendered, and `prepare` fits one to the other as for any files;
 * alignment.png, before and after, lies in the pair's folder, with all else that `prepare` writes.
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { renderFrames, renderReference } from "../src/avatar/clip.ts";
import { type Identity, makeIdentity } from "../src/avatar/identity.ts";
import { makeMotion } from "../src/avatar/motion.ts";
import { makeScene } from "../src/avatar/scene.ts";
import { writeImage } from "../src/media/image.ts";
import { openVideoEncoder } from "../src/media/video.ts";
import { prepare } from "../src/pipeline/prepare.ts";

const SIZE = { width: 320, height: 480 };
const FPS = 8;
const NUM_FRAMES = 24;

const [adult, otherAdult] = [makeIdentity(14), makeIdentity(9)];

/** About four years old: a large head on short limbs. */
const child: Identity = {
  ...makeIdentity(9),
  body: { ...makeIdentity(9).body, height: 0.62, legLength: 0.8, armLength: 0.85, headSize: 1.65 },
};

/** What of a person a picture shows, as shares of the height from the floor. */
const WHOLE = { shot: "full body", span: [-0.07, 1.16] } as const;
const CLOSE_UP = { shot: "close-up", span: [0.62, 1.08] } as const;

type Look = readonly [who: Identity, shot: typeof WHOLE | typeof CLOSE_UP];

const PAIRS: readonly (readonly [name: string, reference: Look, driver: Look])[] = [
  ["adult-on-child", [child, WHOLE], [adult, WHOLE]],
  ["child-on-adult", [adult, WHOLE], [child, WHOLE]],
  ["close-up-on-whole-body", [otherAdult, WHOLE], [adult, CLOSE_UP]],
  ["whole-body-on-close-up", [otherAdult, CLOSE_UP], [adult, WHOLE]],
];

async function writeDriver(path: string, [identity, shot]: Look): Promise<void> {
  const scene = { ...makeScene(3), ...shot };
  const dance = { identity, scene, motion: makeMotion(5), numFrames: NUM_FRAMES, fps: FPS, ...SIZE };
  const encoder = await openVideoEncoder(path, { ...SIZE, fps: FPS });
  for (const { image } of renderFrames(dance)) await encoder.write(image);
  await encoder.close();
}

const [out, ...words] = process.argv.slice(2);
if (!out) throw new Error("usage: npx tsx bench/alignment-pairs.ts OUT_FOLDER [words of the pairs' names]");
for (const [name, reference, driver] of PAIRS) {
  if (!words.every((word) => name.includes(word))) continue;
  const folder = join(out, name);
  await mkdir(folder, { recursive: true });
  const [image, video] = [join(folder, "reference.png"), join(folder, "driver.mp4")];
  const [identity, shot] = reference;
  await writeImage(image, renderReference({ identity, scene: { ...makeScene(11), ...shot }, ...SIZE }).image);
  await writeDriver(video, driver);
  const { files, align, remarks } = await prepare({ image, video, fps: FPS, size: SIZE, out: folder });
  console.log(`${name}: ${align}; ${remarks.join("; ")}\n  ${files.alignment}`);
}
