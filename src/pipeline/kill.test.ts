import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type TinyInputs, generateInChild, writeTinyInputs } from "./testing.ts";
import { hashFile } from "./work-directory.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "posegen-process-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const requestFor = ({ model, image, keypoints }: TinyInputs, name: string) => {
  const out = join(folder, `${name}.mp4`);
  return { model, image, keypoints, align: "off" as const, out, threads: 1 };
};

test("a run that is killed twice ends with the bytes of one that is not", async () => {
  const inputs = await writeTinyInputs(join(folder, "short"), 20);
  const whole = requestFor(inputs, "whole");
  const { numEvents } = await generateInChild(whole, null);
  const killed = requestFor(inputs, "killed");
  for (const share of [0.3, 0.5]) {
    const kill = { afterEvents: Math.ceil(share * numEvents), delayMs: 3 };
    expect(await generateInChild(killed, kill)).toMatchObject({ ended: false });
    expect(existsSync(killed.out)).toBe(false);
  }
  expect(await generateInChild(killed, null)).toMatchObject({ ended: true });
  expect(await hashFile(killed.out)).toBe(await hashFile(whole.out));
  expect(existsSync(`${killed.out}.work`)).toBe(false);
}, 300_000);
