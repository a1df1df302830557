import { describe, expect, test } from "vitest";
import { UserError } from "../tensor/errors.ts";
import { checkGenerateRequest, checkPrepareRequest } from "./request.ts";

const least = { image: "a.png", video: "b.mp4", out: "c.mp4" };

describe("a request", () => {
  test("takes defaults", () => {
    expect(checkGenerateRequest(least)).toMatchObject({
      ...least,
      seed: 0,
      kvShare: "auto",
      kvMode: "paper",
      anchor: "auto",
      device: "cpu",
      precision: "auto",
      resume: true,
    });
  });

  test("takes sizes and ranges as text or as objects", () => {
    const text = checkGenerateRequest({ ...least, size: "128x192", kvShare: "0..2:4..8" });
    const objects = { size: { width: 128, height: 192 }, kvShare: { steps: [0, 2], blocks: [4, 8] } };
    expect(text).toEqual(checkGenerateRequest({ ...least, ...objects }));
    expect(text).toMatchObject(objects);
  });

  test("takes LoRAs with a weight behind the last colon", () => {
    const loras = ["a", "b:0.5", "C:\\c.safetensors", "d:e:-2", { path: "f:1" }, ".:.25"];
    expect(checkGenerateRequest({ ...least, loras }).loras).toEqual([
      { path: "a", weight: 1 },
      { path: "b", weight: 0.5 },
      { path: "C:\\c.safetensors", weight: 1 },
      { path: "d:e", weight: -2 },
      { path: "f:1", weight: 1 },
      { path: ".", weight: 0.25 },
    ]);
  });

  test.each([
    [{ loras: [""] }, /loras.0: expected FILE or FILE:WEIGHT/],
    [{ loras: ["a:1000"] }, /loras.0: expected FILE or FILE:WEIGHT, such as .* with a weight of at most 100/],
    [{ loras: new Array<string>(33).fill("a") }, /loras: expected at most 32 LoRAs/],
    [{ size: "100x150" }, /size: got 100x150; both sides must be multiples of 16.*take 96x144/],
    [{ size: "8x16" }, /take 16x16/],
    [{ size: "16x99999" }, /take 16x4096/],
    [{ size: "big" }, /size: expected "WIDTHxHEIGHT"/],
    [{ kvShare: "some" }, /kvShare: expected auto, off, close-up, half-body, full-body, distant, or ranges/],
    [{ kvShare: "2..2:0..1" }, /kvShare/],
    [{ anchor: 1 }, /anchor: expected auto, or the index of a base segment: 0, 2, 4/],
    [{ seed: -1 }, /seed/],
    [{ seed: 0.5 }, /seed/],
    [{ steps: 0 }, /steps/],
    [{ guidanceScale: 0 }, /guidanceScale/],
    [{ out: "c.avi" }, /out: expected a path that ends in .mp4/],
    [{ video: undefined }, /video: expected a driving video, or a file of keypoints/],
    [{ typo: 1 }, /typo/],
    [{ captionModel: "m" }, /captionUrl: captionUrl and captionModel belong together/],
    [{ captionModel: "m", captionUrl: "file:///etc" }, /captionUrl: expected an http or https address/],
    [{ captionModel: "m", captionUrl: "http://a:b@c/v1" }, /captionUrl: .* without a user name/],
  ])("%j is refused", (change, message) => {
    const check = () => checkGenerateRequest({ ...least, ...change });
    expect(check).toThrow(UserError);
    expect(check).toThrow(message);
  });

  test("names every fault at once", () => {
    expect(() => checkGenerateRequest({ ...least, seed: -1, steps: 0 })).toThrow(/seed: [^]*steps: /);
  });

  test("of conditions only has no sampling options", () => {
    expect(checkPrepareRequest({ video: "b.mp4", out: "folder" })).toMatchObject({ out: "folder" });
    expect(() => checkPrepareRequest({ video: "b.mp4", out: "folder", seed: 1 })).toThrow(/seed/);
  });
});
