import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { renderReference } from "../avatar/clip.ts";
import { makeIdentity } from "../avatar/identity.ts";
import { makeScene } from "../avatar/scene.ts";
import { readImage, writeImage } from "../media/image.ts";
import { createImage } from "../media/pixels.ts";
import { probeVideo } from "../media/video.ts";
import { jointOf } from "../perception/body-measure.ts";
import { mapToOutput } from "../perception/conditions-video.ts";
import { openAlignedDriver } from "./aligned-driver.ts";
import { generate } from "./generate.ts";
import { prepare } from "./prepare.ts";
import { findReference } from "./reference-pose.ts";
import type { GenerateRequest } from "./request.ts";
import { type TinyInputs, writeTinyInputs } from "./testing.ts";
import { hashFile } from "./work-directory.ts";

let folder: string;
let inputs: TinyInputs;
/** Somebody of half the size, who stands aside. */
let small: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "posegen-align-"));
  inputs = await writeTinyInputs(join(folder, "inputs"), 6);
  small = join(folder, "small.png");
  const scene = { ...makeScene(16), shot: "full body", span: [-0.2, 2], aside: 0.5 } as const;
  await writeImage(
    small,
    renderReference({ identity: makeIdentity(9), scene, width: 256, height: 384 }).image,
  );
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const OUTPUT = { width: 64, height: 96 };

describe("a driver", () => {
  test("is brought to where and how large the person of the reference is, and its shot with it", async () => {
    const reference = await findReference(await readImage(small), { paths: [] }, undefined);
    const { driver, alignment } = await openAlignedDriver(inputs.keypoints, 8, reference, "auto", OUTPUT);
    expect(alignment).toMatchObject({ mode: "bones" });
    expect(alignment!.scale).toBeGreaterThan(0.4);
    expect(alignment!.scale).toBeLessThan(0.75);
    const wanted = jointOf(mapToOutput(reference, OUTPUT), "pelvis")!;
    const frame = await driver.frame(3);
    expect(frame.size).toEqual(OUTPUT);
    expect(Math.abs(jointOf(frame, "pelvis")!.x - wanted.x)).toBeLessThan(6);
    expect(driver.shot).toBe("distant");
    expect((await openAlignedDriver(inputs.keypoints, 8, reference, "off", OUTPUT)).driver.shot).toBe(
      "full-body",
    );
  });

  test("is left as it is without a reference", async () => {
    const { driver, alignment } = await openAlignedDriver(inputs.keypoints, 8, null, "bones", OUTPUT);
    expect(alignment).toBeNull();
    expect((await driver.frame(0)).size).toEqual({ width: 128, height: 192 });
  });
});

describe("prepare with a reference", () => {
  test("fits the conditions to it, and shows how", async () => {
    const { model, keypoints } = inputs;
    const found = await prepare({ model, keypoints, image: small, out: join(folder, "fitted") });
    expect(found).toMatchObject({ align: "bones", shot: "distant" });
    expect(found.remarks.join()).toMatch(/bone lengths of the reference, at [4-7]\d % of its size/);
    expect(await readImage(found.files.alignment!)).toMatchObject({ channels: 3 });
    expect(JSON.parse(await readFile(found.files.summary, "utf8"))).toEqual(found);
    const plain = await prepare({ model, keypoints, out: join(folder, "plain") });
    expect(plain).toMatchObject({ align: "off", files: { alignment: null } });
    expect(await hashFile(plain.files.skeleton)).not.toBe(await hashFile(found.files.skeleton));
  });

  test("refuses one without a person", async () => {
    const { model, keypoints } = inputs;
    const image = join(folder, "empty.png");
    await writeImage(image, createImage(128, 192, [90, 120, 60]));
    const refused = prepare({ model, keypoints, image, out: join(folder, "nobody") });
    await expect(refused).rejects.toThrow(/no person was found in .*empty.png/);
  });
});

describe("generate", () => {
  test("aligns by itself, says so, and does the same when it goes on", async () => {
    const { model, keypoints } = inputs;
    const notices: string[] = [];
    const run = async (name: string, change: Partial<GenerateRequest>): Promise<string> => {
      const request = { model, keypoints, image: small, out: join(folder, `${name}.mp4`), threads: 1 };
      await generate(
        { ...request, ...change },
        { onProgress: (event) => event.type === "notice" && notices.push(event.message) },
      );
      return hashFile(request.out);
    };
    const workDir = join(folder, "work");
    const aligned = await run("aligned", { workDir });
    expect(notices.join()).toMatch(/given the place and the bone lengths of the reference/);
    expect(await run("again", { workDir })).toBe(aligned);
    expect(await run("off", { align: "off" })).not.toBe(aligned);
    expect(await probeVideo(join(folder, "aligned.mp4"))).toMatchObject({ numFrames: 6 });
  });
});
