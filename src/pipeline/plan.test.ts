import { readFileSync } from "node:fs";
import { assert, integer, property } from "fast-check";
import { describe, expect, it } from "vitest";
import { UserError } from "../tensor/errors.ts";
import { planSegments } from "./plan.ts";

interface GoldenChunk {
  start: number;
  kind: "base" | "cond";
  reflected_indices_rle: [number, number, number][];
  official_indices_rle: [number, number, number][];
  official_ok: boolean;
  head_frames_from?: { chunk: number; local: [number, number] };
  tail_frames_from?: { chunk: number; local: [number, number] };
}
interface Golden {
  num_frames: number;
  head_length: number;
  tail_length: number;
  plans: { video_length: number; pad: boolean; output_length: number; chunks: GoldenChunk[] }[];
}

const golden: Golden = JSON.parse(
  readFileSync(new URL("../../fixtures/plan/plan.json", import.meta.url), "utf8"),
);
const expand = (runs: [number, number, number][]): number[] =>
  runs.flatMap(([first, last, by]) =>
    Array.from({ length: (last - first) / by + 1 }, (_, i) => first + i * by),
  );
const kept = (from?: { chunk: number; local: [number, number] }) =>
  from && { segment: from.chunk, from: from.local[0], to: from.local[1] };

describe("the published plan", () => {
  it.each(golden.plans)(
    "of $video_length frames, padded: $pad",
    ({ video_length, pad, output_length, chunks }) => {
      const plan = planSegments(video_length, { incompleteEnd: pad ? "reflect" : "drop" });
      expect(plan).toMatchObject({
        numFrames: output_length,
        segmentFrames: golden.num_frames,
        headFrames: golden.head_length,
        tailFrames: golden.tail_length,
      });
      expect(plan.segments.map(({ start }) => start)).toEqual(chunks.map(({ start }) => start));
      plan.segments.forEach((segment, i) => {
        const chunk = chunks[i]!;
        expect(segment.kind).toBe(i === 0 ? "anchor" : chunk.kind === "base" ? "base" : "interpolated");
        expect(segment.frames).toEqual(expand(chunk.reflected_indices_rle));
        if (chunk.official_ok) expect(segment.frames).toEqual(expand(chunk.official_indices_rle));
        expect(segment.head).toEqual(kept(chunk.head_frames_from));
        expect(segment.tail).toEqual(kept(chunk.tail_frames_from));
      });
    },
  );
});

describe("any plan", () => {
  const videoFrames = integer({ min: 1, max: 700 });
  const segmentFrames = integer({ min: 1, max: 30 }).map((k) => 4 * k + 1);

  it("covers every frame, each once or in one overlap of neighbours, with its own driving frame", () => {
    assert(
      property(videoFrames, segmentFrames, (length, frames) => {
        const plan = planSegments(length, { segmentFrames: frames });
        expect(plan.numFrames).toBe(length);
        const segmentsAt = Array.from({ length }, (): number[] => []);
        for (const { index, start, frames: driving } of plan.segments) {
          expect(driving.length).toBe(frames);
          driving.forEach((frame, i) => {
            expect(frame >= 0 && frame < length).toBe(true);
            if (start + i < length) {
              expect(frame).toBe(start + i);
              segmentsAt[start + i]!.push(index);
            } else {
              // Neighbouring driving frames are shown one after the other, forwards or backwards.
              expect(i === 0 || Math.abs(frame - driving[i - 1]!) <= 1).toBe(true);
            }
          });
        }
        for (const indexes of segmentsAt) {
          expect(indexes.length === 1 || (indexes.length === 2 && indexes[1] === indexes[0]! + 1)).toBe(true);
        }
      }),
      { numRuns: 60 },
    );
  });

  it("interpolates between base segments, over whole latent frames, with something left to make", () => {
    assert(
      property(videoFrames, segmentFrames, (length, frames) => {
        const { segments, headFrames, tailFrames } = planSegments(length, { segmentFrames: frames });
        expect([headFrames % 4, tailFrames % 4]).toEqual([1, 0]);
        expect(segments.length % 2).toBe(1);
        expect(segments.map(({ kind }) => kind === "interpolated")).toEqual(
          segments.map((_, i) => i % 2 === 1),
        );
        expect(segments.filter(({ kind }) => kind === "anchor").map(({ index }) => index)).toEqual([0]);
        if (segments.length > 1) expect(frames - headFrames - tailFrames).toBeGreaterThanOrEqual(4);
        for (const { start, frames: driving, head, tail, kind } of segments) {
          const mine = [
            ...(head ? driving.slice(0, headFrames) : []),
            ...(tail ? driving.slice(frames - tailFrames) : []),
          ];
          const theirs = [head, tail].flatMap((k) =>
            k ? segments[k.segment]!.frames.slice(k.from, k.to) : [],
          );
          expect(mine).toEqual(theirs);
          expect([head !== undefined, tail !== undefined]).toEqual([
            kind === "interpolated",
            kind === "interpolated" && tailFrames > 0,
          ]);
          if (head) expect(segments[head.segment]!.start + head.from).toBe(start);
          if (tail) expect(segments[tail.segment]!.start + tail.to).toBe(start + frames);
        }
      }),
      { numRuns: 60 },
    );
  });

  it("keeps about a quarter at each end", () => {
    assert(
      property(segmentFrames, (frames) => {
        const { headFrames, tailFrames } = planSegments(1, { segmentFrames: frames });
        expect(Math.abs(headFrames - frames / 4)).toBeLessThanOrEqual(2);
        expect(Math.abs(tailFrames - frames / 4)).toBeLessThanOrEqual(2);
      }),
    );
  });
});

describe("planSegments", () => {
  it("plans videos shorter than a segment, down to one frame", () => {
    const { numFrames, segments } = planSegments(1, { segmentFrames: 9 });
    expect(numFrames).toBe(1);
    expect(segments).toEqual([{ index: 0, kind: "anchor", start: 0, frames: [0, 0, 0, 0, 0, 0, 0, 0, 0] }]);
    expect(planSegments(1, { segmentFrames: 1 }).segments[0]!.frames).toEqual([0]);
    expect(planSegments(3, { segmentFrames: 9 }).segments[0]!.frames).toEqual([0, 1, 2, 2, 1, 0, 0, 1, 2]);
  });

  it("takes another anchor and other overlaps", () => {
    const { segments } = planSegments(60, { segmentFrames: 21, headFrames: 9, tailFrames: 4, anchor: 2 });
    expect(segments.map(({ kind }) => kind)).toEqual([
      "base",
      "interpolated",
      "anchor",
      "interpolated",
      "base",
    ]);
    expect(segments.map(({ start }) => start)).toEqual([0, 12, 29, 41, 58]);
  });

  it("refuses what makes no plan", () => {
    for (const [frames, options, message] of [
      [0, {}, /0 frames; expected at least 1/],
      [1.5, {}, /1.5 frames/],
      [9, { segmentFrames: 80 }, /expected 4k \+ 1/],
      [9, { segmentFrames: -3 }, /expected 4k \+ 1/],
      [99, { segmentFrames: 9, headFrames: 4 }, /expected 4a \+ 1/],
      [99, { segmentFrames: 9, tailFrames: 5 }, /expected 4b/],
      [99, { segmentFrames: 9, headFrames: 5, tailFrames: 4 }, /leave nothing to interpolate/],
      [2, { segmentFrames: 1 }, /leave nothing to interpolate/],
      [150, { anchor: 1 }, /segment 1 cannot be the anchor; expected an even number from 0 to 2/],
      [150, { anchor: 4 }, /from 0 to 2/],
      [60, { incompleteEnd: "drop" }, /fewer than one segment/],
    ] as const) {
      expect(() => planSegments(frames, options)).toThrow(UserError);
      expect(() => planSegments(frames, options)).toThrow(message);
    }
  });
});
