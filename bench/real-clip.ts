/**
 * What is found in footage whose truth nobody knows, and how well it fits a photo of somebody else.
 * Usage: npx tsx bench/real-clip.ts VIDEO PHOTO OUT_FOLDER [lite|full|heavy]
 *
 * Prints how often body and hands are found, how much their points tremble, and by how much the bone lengths of the
 * fitted motion differ from the photo's. Writes what `prepare` writes, to look at.
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { readImage } from "../src/media/image.ts";
import { decodeVideo, probeVideo } from "../src/media/video.ts";
import { LIMBS } from "../src/perception/body-limbs.ts";
import { BodyMeasure, jointOf } from "../src/perception/body-measure.ts";
import { mapToOutput } from "../src/perception/conditions-video.ts";
import type { PersonFrame } from "../src/perception/person-frame.ts";
import { openAlignedDriver } from "../src/pipeline/aligned-driver.ts";
import { writeKeypoints } from "../src/pipeline/keypoints-file.ts";
import { prepare } from "../src/pipeline/prepare.ts";
import { findReference } from "../src/pipeline/reference-pose.ts";
import { follow } from "./perception/follow.ts";

/** Least confidence of points that are drawn. */
const DRAWN = 0.3;

const percent = (share: number): string => `${(100 * share).toFixed(2)} %`;

/** RMS of second differences of body points, as a share of the trunk; what the person does is in it. */
function jitterOf(frames: readonly PersonFrame[]): number {
  let [squares, count] = [0, 0];
  for (let f = 1; f + 1 < frames.length; f++) {
    const around = [frames[f - 1]!, frames[f]!, frames[f + 1]!];
    const [neck, pelvis] = [jointOf(frames[f]!, "neck"), jointOf(frames[f]!, "pelvis")];
    if (!neck || !pelvis || around.some(({ found, cut }) => !found.body || cut)) continue;
    const trunk = Math.hypot(neck.x - pelvis.x, neck.y - pelvis.y);
    frames[f]!.pose.body.forEach((_, i) => {
      const [a, b, c] = around.map(({ pose }) => pose.body[i]!);
      if ([a!, b!, c!].some(({ score }) => score < DRAWN)) return;
      for (const axis of ["x", "y"] as const) {
        squares += ((a![axis] - 2 * b![axis] + c![axis]) / trunk) ** 2;
        count++;
      }
    });
  }
  return Math.sqrt(squares / count);
}

const [video, photo, out, quality = "heavy"] = process.argv.slice(2);
if (!video || !photo || !out || (quality !== "lite" && quality !== "full" && quality !== "heavy")) {
  throw new Error("usage: npx tsx bench/real-clip.ts VIDEO PHOTO OUT_FOLDER [lite|full|heavy]");
}
await mkdir(out, { recursive: true });
const { frameRate: fps, width, height } = await probeVideo(video);
const { found, smoothed } = await follow(() => decodeVideo(video, { fps }), quality);
const keypoints = join(out, "keypoints.jsonl");
await writeKeypoints(keypoints, fps, smoothed);

const count = (has: (frame: PersonFrame) => boolean): string =>
  `${found.filter(has).length} of ${found.length}`;
console.log(`body         ${count((frame) => frame.found.body)}`);
console.log(`left hand    ${count((frame) => frame.found.leftHand)}`);
console.log(`right hand   ${count((frame) => frame.found.rightHand)}`);
console.log(`jitter       ${percent(jitterOf(found))} of the trunk, ${percent(jitterOf(smoothed))} smoothed`);

const reference = await findReference(await readImage(photo), { paths: [] }, undefined);
const size = { width: width - (width % 16), height: height - (height % 16) };
const { driver, alignment } = await openAlignedDriver(keypoints, fps, reference, "bones", size);
if (!alignment) throw new Error("video and photo show nothing in common to compare");
const [goal, result] = [new BodyMeasure(), new BodyMeasure()];
goal.add(mapToOutput(reference, size));
let farthest = 0;
for (let f = 0; f < driver.numFrames; f++) {
  const frame = await driver.frame(f);
  result.add(frame);
  for (const { x, y, score } of frame.pose.body) {
    if (score < DRAWN) continue;
    farthest = Math.max(farthest, -x / size.width, x / size.width - 1, -y / size.height, y / size.height - 1);
  }
}
const { sizeLimbs } = alignment;
const shareOf = (body: BodyMeasure, limb: (typeof LIMBS)[number]): number =>
  body.proportion(limb, sizeLimbs) / body.proportion("trunk", sizeLimbs);
console.log(
  `scale        ${alignment.scale.toFixed(3)}; never shown: ${[...alignment.absent].join(", ") || "-"}`,
);
const deviations: number[] = [];
for (const limb of LIMBS) {
  const [wanted, given] = [shareOf(goal, limb), shareOf(result, limb)];
  const ratio = `${limb.padEnd(14)} driver x ${alignment.ratios[limb].toFixed(3)} = ${given.toFixed(3)} of the trunk`;
  if (wanted === 0) {
    console.log(`${ratio}; not seen in the photo`);
    continue;
  }
  deviations.push(given / wanted - 1);
  console.log(`${ratio}; photo ${wanted.toFixed(3)}, off by ${percent(given / wanted - 1)}`);
}
console.log(`largest deviation ${percent(Math.max(...deviations.map(Math.abs)))}`);
console.log(`farthest drawn joint outside the picture: ${percent(Math.max(0, farthest))} of its side`);

const drawn = `${size.width}x${size.height}`;
const { files } = await prepare({ video, keypoints, image: photo, align: "bones", fps, size: drawn, out });
console.log(`look at ${files.overlay} and ${files.alignment}`);
