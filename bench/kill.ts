/**
 * Kills `generate` at random points (SIGKILL), lets it go on, and compares the result with that of an uninterrupted
 * run: every byte must be the same. Usage: npm run test:kill -- [trials] [seed]
 */
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { generateInChild, writeTinyInputs } from "../src/pipeline/testing.ts";
import { hashFile } from "../src/pipeline/work-directory.ts";
import { Random } from "../src/tensor/random.ts";

/** Of one trial. */
const MAX_KILLS = 2;

const [trials = 20, seed = 1] = process.argv.slice(2).map(Number);
const random = new Random(seed);
const folder = await mkdtemp(join(tmpdir(), "posegen-kill-"));
let numFailures = 0;
try {
  const inputs = await writeTinyInputs(join(folder, "inputs"), 30);
  const requestFor = (name: string) => ({ ...inputs, out: join(folder, `${name}.mp4`), threads: 1 });
  // Every second trial finds the poses in the video itself, which takes longer than all the rest.
  const goldens: { numEvents: number; hash: string }[] = [];
  for (const { keypoints, ...request } of [requestFor("from-video"), requestFor("from-poses")]) {
    const whole = goldens.length === 0 ? request : { ...request, keypoints };
    const { numEvents } = await generateInChild(whole, null);
    goldens.push({ numEvents, hash: await hashFile(whole.out) });
    console.log(`uninterrupted: ${numEvents} events, sha256 ${goldens.at(-1)!.hash.slice(0, 12)}`);
  }
  for (let trial = 1; trial <= trials; trial++) {
    const { keypoints, ...given } = requestFor(`trial-${trial}`);
    const request = trial % 2 === 1 ? given : { ...given, keypoints };
    const { numEvents, hash: golden } = goldens[(trial + 1) % 2]!;
    const kills: string[] = [];
    for (let ended = false; !ended;) {
      // Later kills of the same trial fall into what is left of it, until one comes too late.
      const kill = { afterEvents: 1 + random.integer(numEvents), delayMs: random.integer(40) };
      const outcome = await generateInChild(request, kills.length < MAX_KILLS ? kill : null);
      ended = outcome.ended;
      if (!ended) kills.push(`${kill.afterEvents}+${kill.delayMs}ms`);
    }
    const same = (await hashFile(request.out)) === golden;
    const clean = !existsSync(`${request.out}.work`);
    if (!same || !clean) numFailures++;
    const verdict = `${same ? "same bytes" : "OTHER BYTES"}${clean ? "" : ", work directory left"}`;
    console.log(
      `trial ${trial}: killed ${kills.length} times (${kills.join(", ") || "too late"}): ${verdict}`,
    );
    await rm(request.out);
  }
} finally {
  await rm(folder, { recursive: true, force: true });
}
console.log(`${trials - numFailures} of ${trials} results are byte-identical`);
if (numFailures > 0) process.exitCode = 1;
