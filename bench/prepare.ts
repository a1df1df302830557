/**
 * How fast `prepare` is, and where its time goes.
 * Usage: npx tsx bench/prepare.ts [VIDEO] [seconds of it] [WxH of the conditions]; without a video, a rendered dance of
 * 692x1108. Conditions are drawn at about the video's size unless told.
 *
 * Prints seconds on the clock and seconds of all processors together: on a machine that does other work as well, only
 * the latter tell what `prepare` takes. Its stages are measured one after another and add up to about the whole,
 * which runs some of them at the same time.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { renderFrames } from "../src/avatar/clip.ts";
import { makeIdentity } from "../src/avatar/identity.ts";
import { makeMotion } from "../src/avatar/motion.ts";
import { makeScene } from "../src/avatar/scene.ts";
import { writeTinyModel } from "../src/diffusion/testing.ts";
import type { Image } from "../src/media/pixels.ts";
import { transformPose } from "../src/media/pose-keypoints.ts";
import { crop } from "../src/media/resize.ts";
import { drawSkeleton } from "../src/media/skeleton.ts";
import { type VideoFrame, decodeVideo, openVideoEncoder, probeVideo } from "../src/media/video.ts";
import { BackgroundWatch } from "../src/perception/background-motion.ts";
import { renderConditions } from "../src/perception/conditions-video.ts";
import { EmbeddedEyes } from "../src/perception/embedded-eyes.ts";
import { HandTracker } from "../src/perception/hands.ts";
import { PoseTracker } from "../src/perception/pose.ts";
import { ImagePyramid } from "../src/perception/region.ts";
import { SURVEYED_LONGEST, surveyFrames } from "../src/perception/survey.ts";
import { WATCHED_LONGEST } from "../src/pipeline/background.ts";
import { KeypointsFile } from "../src/pipeline/keypoints-file.ts";
import { OVERLAY_CODING } from "../src/pipeline/overlay.ts";
import { prepare } from "../src/pipeline/prepare.ts";
import { sizeSchema } from "../src/pipeline/request.ts";
import { stretchOf } from "../src/pipeline/timing.ts";

/** Seconds on the clock, and of all processors. */
interface Cost {
  readonly clock: number;
  readonly cpu: number;
}

async function costOf<T>(work: () => Promise<T>): Promise<{ value: T; cost: Cost }> {
  const [begin, before] = [performance.now(), process.cpuUsage()];
  const value = await work();
  const { user, system } = process.cpuUsage(before);
  return { value, cost: { clock: (performance.now() - begin) / 1000, cpu: (user + system) / 1e6 } };
}

const stages = new Map<string, Cost>();

/** Adds to what a stage has cost so far. */
async function timed<T>(stage: string, work: () => Promise<T>): Promise<T> {
  const { value, cost } = await costOf(work);
  const { clock, cpu } = stages.get(stage) ?? { clock: 0, cpu: 0 };
  stages.set(stage, { clock: clock + cost.clock, cpu: cpu + cost.cpu });
  return value;
}

async function renderDance(path: string): Promise<void> {
  const size = { width: 692, height: 1108 };
  const scene = { ...makeScene(3), shot: "full body", span: [-0.07, 1.16] } as const;
  const dancer = { identity: makeIdentity(14), motion: makeMotion(5) };
  const encoder = await openVideoEncoder(path, { ...size, fps: 16 });
  for (const { image } of renderFrames({ ...dancer, scene, ...size, numFrames: 32, fps: 16 })) {
    await encoder.write(image);
  }
  await encoder.close();
}

const folder = await mkdtemp(join(tmpdir(), "posegen-bench-"));
const [given, seconds, drawnSize] = process.argv.slice(2);
const video = given ?? join(folder, "dance.mp4");
if (given === undefined) await renderDance(video);
const model = join(folder, "model");
await writeTinyModel(model);
const info = await probeVideo(video);
const end = Math.min(info.durationS, Number(seconds ?? Infinity));
const fps = info.frameRate;
const { startS, endS } = stretchOf({ end }, info);
const size = sizeSchema.parse(drawnSize ?? `${info.width & ~15}x${info.height & ~15}`);
// Networks are converted at their first use ever.
for (const quality of ["lite", "heavy"] as const) await (await EmbeddedEyes.load({ quality })).release();

const request = { model, video, fps, end, size, out: join(folder, "out") };
const whole = await costOf(() => prepare(request));
const { files } = whole.value;

async function read(longest: number): Promise<VideoFrame[]> {
  const frames: VideoFrame[] = [];
  const options = { fps, startS, endS, longest };
  await timed("reading the video", async () => {
    for await (const frame of decodeVideo(video, options)) frames.push(frame);
  });
  return frames;
}

const surveyed = await read(SURVEYED_LONGEST);
const images = (await read(Infinity)).map(({ image }) => image);
const watched = (await read(WATCHED_LONGEST)).map(({ image }) => image);
const load = () => Promise.all([EmbeddedEyes.load(), HandTracker.load()]);
const [eyes, hands] = await timed("loading networks", load);
const quickEyes = await timed("loading networks", () => eyes.lighter());
await timed("first look", () => surveyFrames(surveyed, quickEyes));
await quickEyes.release();
const poses = new PoseTracker(eyes);
for (const image of images) {
  const pyramid = new ImagePyramid(image);
  const { body } = await timed("pose network", () => poses.next(pyramid));
  await timed("hands", () => hands.next(pyramid, body));
}
await Promise.all([poses.release(), hands.release()]);

const found = await KeypointsFile.open(files.keypoints!);
const watch = new BackgroundWatch();
for (const [i, image] of watched.entries()) {
  await timed("background", async () => watch.next(image, await found.read(i)));
}
const drawn: Record<"skeleton" | "hands" | "overlay", Image[]> = { skeleton: [], hands: [], overlay: [] };
const even = { left: 0, top: 0, width: watched[0]!.width & ~1, height: watched[0]!.height & ~1 };
for (const [i, image] of watched.entries()) {
  const frame = await found.read(i);
  await timed("drawing", async () => {
    const { skeleton, handNormals } = renderConditions(frame, size);
    const overlay = crop(image, even);
    const scale = { scaleX: image.width / frame.size.width, scaleY: image.height / frame.size.height };
    drawSkeleton(overlay, transformPose(frame.pose, { left: 0, top: 0, ...scale }), {
      style: "scaled",
    });
    drawn.skeleton.push(skeleton);
    drawn.hands.push(handNormals);
    drawn.overlay.push(overlay);
  });
}
for (const [name, pictures] of Object.entries(drawn)) {
  await timed("coding", async () => {
    const { width, height } = pictures[0]!;
    const options = { width, height, fps, ...(name === "overlay" && OVERLAY_CODING) };
    const encoder = await openVideoEncoder(join(folder, `${name}.mp4`), options);
    for (const picture of pictures) await encoder.write(picture);
    await encoder.close();
  });
}
await rm(folder, { recursive: true });

const numFrames = images.length;
const row = (name: string, { clock, cpu }: Cost, share: string): void =>
  console.log(
    `${name.padEnd(18)} ${clock.toFixed(1).padStart(7)} s ${cpu.toFixed(1).padStart(7)} s cpu ` +
      `${((1000 * cpu) / numFrames).toFixed(0).padStart(5)} ms/frame  ${share}`,
  );
console.log(`${numFrames} frames of ${info.width}x${info.height}, drawn at ${size.width}x${size.height}`);
const sum = [...stages.values()].reduce((total, { cpu }) => total + cpu, 0);
for (const [name, cost] of stages) row(name, cost, `${((100 * cost.cpu) / sum).toFixed(0)} %`);
const { clock, cpu } = whole.cost;
row(
  "prepare",
  whole.cost,
  `${(numFrames / clock).toFixed(1)} frames per second, ${(cpu / clock).toFixed(2)} cores busy`,
);
