/** For tests: small inputs of `generate`, and runs of it that are killed. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { renderFrames, renderReference } from "../avatar/clip.ts";
import { makeIdentity } from "../avatar/identity.ts";
import { makeMotion } from "../avatar/motion.ts";
import { makeScene } from "../avatar/scene.ts";
import { writeTinyModel } from "../diffusion/testing.ts";
import { writeImage } from "../media/image.ts";
import { openVideoEncoder } from "../media/video.ts";
import type { PersonFrame } from "../perception/person-frame.ts";
import { writeKeypoints } from "./keypoints-file.ts";
import type { GenerateRequest } from "./request.ts";

/** The size of the tiny model's drivers: large enough for the person in them to be found. */
const DRIVER = { width: 128, height: 192, fps: 8 } as const;

const FULL_BODY = { shot: "full body", span: [-0.07, 1.16] } as const;

export interface TinyInputs {
  readonly model: string;
  readonly image: string;
  /** Somebody else who dances, and the exact poses of the same video. */
  readonly video: string;
  readonly keypoints: string;
}

/**
 * Writes a model, a reference image and a driver into a folder.
 * @param numFrames of the driver, at 8 frames per second, which is the tiny model's rate too
 */
export async function writeTinyInputs(folder: string, numFrames: number): Promise<TinyInputs> {
  await mkdir(folder, { recursive: true });
  const inputs: TinyInputs = {
    model: join(folder, "model"),
    image: join(folder, "reference.png"),
    video: join(folder, "driver.mp4"),
    keypoints: join(folder, "keypoints.jsonl"),
  };
  await writeTinyModel(inputs.model);
  const place = { ...makeScene(16), ...FULL_BODY };
  await writeImage(
    inputs.image,
    renderReference({ identity: makeIdentity(9), scene: place, ...DRIVER }).image,
  );
  const frames = renderFrames({
    identity: makeIdentity(14),
    scene: { ...makeScene(3), ...FULL_BODY },
    motion: makeMotion(5),
    numFrames,
    ...DRIVER,
  });
  const encoder = await openVideoEncoder(inputs.video, DRIVER);
  await writeKeypoints(inputs.keypoints, DRIVER.fps, exactPoses(frames, encoder));
  await encoder.close();
  return inputs;
}

/** Passes rendered frames to an encoder, and their exact poses on. */
async function* exactPoses(
  frames: ReturnType<typeof renderFrames>,
  encoder: Awaited<ReturnType<typeof openVideoEncoder>>,
): AsyncGenerator<PersonFrame> {
  let index = 0;
  for (const { image, keypoints } of frames) {
    await encoder.write(image);
    const flat = keypoints.leftHand.map(() => 0);
    yield {
      index,
      timeS: index / DRIVER.fps,
      size: { width: DRIVER.width, height: DRIVER.height },
      pose: keypoints,
      depths: { left: flat, right: flat },
      numPeople: 1,
      found: { body: true, leftHand: true, rightHand: true },
    };
    index++;
  }
}

/** When to kill a process that generates: after a number of progress events, and then some time. */
export interface KillPoint {
  readonly afterEvents: number;
  readonly delayMs: number;
}

const CHILD = fileURLToPath(new URL("../../bench/generate-child.ts", import.meta.url));

export interface ChildOutcome {
  /** Events it has told. */
  readonly numEvents: number;
  /** False when it was killed in time. */
  readonly ended: boolean;
  /** The most memory it has had; 0 when it was killed. */
  readonly peakBytes: number;
  readonly processorSeconds: number;
}

/**
 * Runs `generate` in a process of its own.
 * @param kill where to kill it with SIGKILL; null lets it end
 */
export async function generateInChild(
  request: GenerateRequest,
  kill: KillPoint | null,
): Promise<ChildOutcome> {
  const argv = ["--import", "tsx", CHILD, JSON.stringify(request)];
  const child = spawn(process.execPath, argv, { stdio: ["ignore", "pipe", "inherit"] });
  const closed = once(child, "close");
  let numEvents = 0;
  let [peakBytes, processorSeconds] = [0, 0];
  for await (const line of createInterface({ input: child.stdout })) {
    if (line.startsWith("peak ")) peakBytes = Number(line.slice("peak ".length));
    if (line.startsWith("processor ")) processorSeconds = Number(line.slice("processor ".length));
    if (line !== "event") continue;
    numEvents++;
    if (numEvents === kill?.afterEvents) setTimeout(() => child.kill("SIGKILL"), kill.delayMs);
  }
  const [code] = (await closed) as [number | null];
  if (code !== 0 && !child.killed) throw new Error(`generate ended with exit code ${code}`);
  return { numEvents, ended: code === 0, peakBytes, processorSeconds };
}
