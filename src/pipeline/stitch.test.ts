import { readFileSync } from "node:fs";
import { assert, asyncProperty, integer } from "fast-check";
import { describe, expect, it } from "vitest";
import { planSegments, type Segment } from "./plan.ts";
import { crossFade, stitch, type FrameBytes } from "./stitch.ts";

const read = (name: string) =>
  JSON.parse(readFileSync(new URL(`../../fixtures/plan/${name}.json`, import.meta.url), "utf8"));

describe("crossFade", () => {
  const {
    cases,
  }: { cases: { overlap: number; history: number[][]; current: number[][]; output: number[][] }[] } =
    read("crossfade");
  it.each(cases)("over $overlap frames equals the published result when it truncates", (golden) => {
    const overlapStart = golden.history.length - golden.overlap;
    golden.output.slice(overlapStart, golden.history.length).forEach((expected, i) => {
      const earlier = Uint8Array.from(golden.history[overlapStart + i]!);
      const later = Uint8Array.from(golden.current[i]!);
      const published = crossFade(earlier, later, i, golden.overlap, { rounding: "truncate" });
      expect([...published]).toEqual(expected);
      const rounded = crossFade(earlier, later, i, golden.overlap);
      rounded.forEach((value, j) => expect([0, 1]).toContain(value - expected[j]!));
    });
  });

  it("rounds to the nearest and shows the earlier segment in an overlap of one frame", () => {
    expect([...crossFade(Uint8Array.of(10, 10), Uint8Array.of(11, 20), 1, 3)]).toEqual([11, 15]);
    expect([...crossFade(Uint8Array.of(10), Uint8Array.of(20), 0, 1)]).toEqual([10]);
  });
});

async function collect(frames: AsyncIterable<FrameBytes>): Promise<number[][]> {
  const result: number[][] = [];
  for await (const frame of frames) result.push([...frame]);
  return result;
}

/** Two bytes that are different for every frame of every segment. */
const frameOf = ({ index }: Segment, local: number): FrameBytes =>
  Uint8Array.of(index * 37 + local * 3, 200 - local);
const allFrames = (segment: Segment): FrameBytes[] =>
  segment.frames.map((_, local) => frameOf(segment, local));

type Place = { chunk: number; local: [number, number] };
type TimelineEntry =
  | ({ type: "copy"; out: [number, number] } & Place)
  | { type: "crossfade"; out: [number, number]; from: Place; to: Place };

describe("stitch", () => {
  const { plans }: { plans: { video_length: number; pad: boolean; merge_timeline: TimelineEntry[] }[] } =
    read("plan");
  it.each(plans)("follows the published timeline of $video_length frames, padded: $pad", async (golden) => {
    const plan = planSegments(golden.video_length, { incompleteEnd: golden.pad ? "reflect" : "drop" });
    const expected: number[][] = [];
    for (const entry of golden.merge_timeline) {
      for (let i = 0; i < entry.out[1] - entry.out[0]; i++) {
        const at = ({ chunk, local }: Place) => frameOf(plan.segments[chunk]!, local[0] + i);
        const numFrames = entry.out[1] - entry.out[0];
        const frame =
          entry.type === "copy" ? at(entry) : crossFade(at(entry.from), at(entry.to), i, numFrames);
        expected[entry.out[0] + i] = [...frame];
      }
    }
    expect(await collect(stitch(plan, allFrames))).toEqual(expected.slice(0, plan.numFrames));
  });

  it("gives identical segments back as they were, for any length", async () => {
    const lengths = integer({ min: 1, max: 120 });
    const segments = integer({ min: 1, max: 8 }).map((k) => 4 * k + 1);
    await assert(
      asyncProperty(lengths, segments, async (length, segmentFrames) => {
        const plan = planSegments(length, { segmentFrames });
        const video = (segment: Segment) => segment.frames.map((t) => Uint8Array.of(t, 255 - t));
        const expected = Array.from({ length }, (_, t) => [t, 255 - t]);
        expect(await collect(stitch(plan, video))).toEqual(expected);
        // Cut off, a byte is one less where the weights do not add up to 1 in floating point.
        const truncated = await collect(stitch(plan, video, { rounding: "truncate" }));
        truncated.forEach((frame, t) =>
          frame.forEach((value, i) => expect([0, 1]).toContain(expected[t]![i]! - value)),
        );
      }),
      { numRuns: 40 },
    );
  });

  it("cuts without changing what is before the cut", async () => {
    const whole = await collect(stitch(planSegments(202), allFrames));
    for (const length of [82, 119, 121, 122, 130, 141, 201]) {
      expect(await collect(stitch(planSegments(length), allFrames))).toEqual(whole.slice(0, length));
    }
  });

  it("asks for frames only when needed, and holds no more than one overlap", async () => {
    const plan = planSegments(300, { segmentFrames: 21 });
    const asked: number[] = [];
    function* lazily(segment: Segment) {
      for (let local = 0; local < segment.frames.length; local++) {
        asked.push(segment.start + local);
        yield frameOf(segment, local);
      }
    }
    let t = 0;
    for await (const frame of stitch(plan, lazily)) {
      expect(frame.length).toBe(2);
      // Frame t came out before anything past the overlap behind it was asked for.
      expect(asked.at(-1)! - t).toBeLessThanOrEqual(0);
      t++;
    }
    expect(t).toBe(300);
    expect(Math.max(...asked)).toBe(299);
  });

  it("stops at a segment that is too short", async () => {
    const plan = planSegments(30, { segmentFrames: 21 });
    await expect(collect(stitch(plan, (segment) => allFrames(segment).slice(0, 7)))).rejects.toThrow(
      /segment 0 has 7 of 21 frames/,
    );
  });
});
