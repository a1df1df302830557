import { createHash } from "node:crypto";
import { tmpdir } from "node:os";
import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Random } from "../tensor/random.ts";
import { drawVaeBatch } from "./vae-batch.ts";
import { type VaeClip, loadVaeClips, renderVaeClips, saveVaeClips, vaeClipBytes } from "./vae-clips.ts";

const SHAPE = { batch: 12, numFrames: 5, height: 32, width: 32 };
const LATENTS = [12, 16, 2, 4, 4];

/** Arrays of this size take seconds to compare element by element. */
function hash(...arrays: readonly (Uint8Array | Float32Array)[]): string {
  const sha = createHash("sha256");
  for (const { buffer, byteOffset, byteLength } of arrays)
    sha.update(new Uint8Array(buffer, byteOffset, byteLength));
  return sha.digest("hex");
}

function digest({ frames, skeleton, handNormals, mask, face, ...sizes }: VaeClip): object {
  return { ...sizes, pixels: hash(frames, skeleton, handNormals, mask, face) };
}

let folder: string;
let clips: VaeClip[];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "vae-clips-"));
  clips = [...renderVaeClips(0, 2, 6)];
}, 60_000);
afterAll(() => rm(folder, { recursive: true }));

test("clips survive being written and read", async () => {
  const path = join(folder, "clips.safetensors");
  await saveVaeClips(path, clips);
  const loaded = await loadVaeClips(path);
  expect(loaded.map(digest)).toEqual(clips.map(digest));
  const { frames, skeleton, handNormals, mask, face } = loaded[0]!;
  const bytes = [frames, skeleton, handNormals, mask, face].reduce((sum, { length }) => sum + length, 0);
  expect(vaeClipBytes(6)).toBe(bytes);
});

test("a clip depends on its number alone", () => {
  expect([...renderVaeClips(1, 1, 6)].map(digest)).toEqual([digest(clips[1]!)]);
});

test("the same stream draws the same batch, another stream another", () => {
  const draw = (step: number): string => {
    const { video, weight, noise } = drawVaeBatch(clips, SHAPE, LATENTS, new Random(1).fork(step));
    return hash(video.data, weight.data, noise.data);
  };
  expect(draw(1)).toBe(draw(1));
  expect(draw(1)).not.toBe(draw(2));
});

test("a batch holds pixels in -1..1, weights of mean 1, and noise that is small", () => {
  const { video, weight, noise } = drawVaeBatch(clips, SHAPE, LATENTS, new Random(2));
  expect(video.shape).toEqual([12, 3, 5, 32, 32]);
  expect(video.data.every((x) => x >= -1 && x <= 1)).toBe(true);
  const perClip = 5 * 32 * 32;
  for (let b = 0; b < 12; b++) {
    const weights = weight.data.subarray(b * perClip, (b + 1) * perClip);
    expect(weights.reduce((sum, w) => sum + w, 0) / perClip).toBeCloseTo(1, 4);
    expect(Math.min(...weights)).toBeGreaterThan(0);
  }
  const power = noise.data.reduce((sum, x) => sum + x * x, 0) / noise.data.length;
  expect(Math.sqrt(power)).toBeGreaterThan(0.01);
  expect(Math.sqrt(power)).toBeLessThan(0.15);
});

test("faces are marked where nose and eyes are seen, and count most", () => {
  const [{ face, mask, width, height, numFrames }] = [...renderVaeClips(0, 1, 1)] as [VaeClip];
  const marked = face.reduce((count, x) => count + (x > 0 ? 1 : 0), 0);
  expect(marked).toBeGreaterThan(40);
  expect(marked).toBeLessThan(0.05 * width * height);
  const shape = { batch: 1, numFrames, height, width };
  const pictures = Array.from(
    { length: 8 },
    (_, i) => drawVaeBatch(clips, shape, [1], new Random(i)).weight.data,
  );
  const spread = pictures.map((weights) => Math.max(...weights) / Math.min(...weights));
  expect(Math.max(...spread)).toBeCloseTo(16, 3);
  expect(mask.some((m, i) => m > 127 && face[i]! > 0)).toBe(true);
});
