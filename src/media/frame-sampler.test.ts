import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { sampleFrames, type TimedContent } from "./frame-sampler.ts";
import { createImage } from "./pixels.ts";
import type { DecodeOptions } from "./video-backend.ts";

/** Frames that begin at `times`, the last shown for `lastS`; notes what is converted and released. */
function source(times: readonly number[], lastS = 0.04, lateBy = 0) {
  const converted: number[] = [];
  const released: number[] = [];
  async function* decodeFrom(startS: number): AsyncGenerator<TimedContent<number>> {
    const from = startS > 0 ? startS + lateBy : 0;
    for (const [content, timeS] of times.entries()) {
      if (lateBy === 0 || timeS >= from) yield { content, timeS, durationS: lastS };
    }
  }
  const sample = async (options: DecodeOptions, limit = Infinity) => {
    const shown: [number, number][] = [];
    const toPicture = async (content: number) => {
      converted.push(content);
      return { image: createImage(1, 1, [content, 0, 0]), size: { width: 1, height: 1 } };
    };
    for await (const { image, timeS } of sampleFrames("a.mp4", decodeFrom, options, toPicture, (n) =>
      released.push(n),
    )) {
      shown.push([image.data[0]!, timeS]);
      if (shown.length >= limit) break;
    }
    return shown;
  };
  return { sample, converted, released };
}
const numbers = (shown: [number, number][]) => shown.map(([n]) => n);
const every = (count: number, fps: number) => Array.from({ length: count }, (_, i) => i / fps);

describe("sampleFrames", () => {
  it("gives every frame once without fps", async () => {
    const times = [0, 0.04, 0.5];
    expect(await source(times).sample({})).toEqual([
      [0, 0],
      [1, 0.04],
      [2, 0.5],
    ]);
  });

  it("takes the frame on screen at each output time", async () => {
    expect(numbers(await source(every(12, 30), 1 / 30).sample({ fps: 10 }))).toEqual([0, 3, 6, 9]);
    expect(numbers(await source(every(3, 8), 1 / 8).sample({ fps: 16 }))).toEqual([0, 0, 1, 1, 2, 2]);
    // A pause of half a second, then two quick frames.
    expect(numbers(await source([0, 0.5, 0.52], 0.08).sample({ fps: 10 }))).toEqual([0, 0, 0, 0, 0, 1]);
  });

  it("neither drops nor repeats frames when times are rounded to milliseconds", async () => {
    const rounded = every(250, 30).map((t) => Math.round(t * 1000) / 1000);
    expect(numbers(await source(rounded, 0.033).sample({ fps: 30 }))).toEqual(rounded.map((_, i) => i));
  });

  it("respects start and end, with and without fps", async () => {
    const times = every(100, 25);
    expect(numbers(await source(times).sample({ startS: 1, endS: 1.12 }))).toEqual([25, 26, 27]);
    expect(await source(times).sample({ fps: 10, startS: 1.05, endS: 1.3 })).toEqual([
      [26, 1.05],
      [28, 1.15000000000000013],
      [31, 1.25],
    ]);
    expect(await source(times).sample({ startS: 9 })).toEqual([]);
  });

  it("shows the first frame before its time, and starts over when a seek lands late", async () => {
    expect(numbers(await source([0.3, 0.4], 0.1).sample({ fps: 10 }))).toEqual([0, 0, 0, 0, 1]);
    const late = source(every(50, 25), 0.04, 0.2);
    expect(numbers(await late.sample({ startS: 1, endS: 1.1 }))).toEqual([25, 26, 27]);
  });

  it("converts only what is shown, and each frame once", async () => {
    const { sample, converted } = source(every(40, 40), 1 / 40);
    await sample({ fps: 10 });
    expect(converted).toEqual([0, 4, 8, 12, 16, 20, 24, 28, 32, 36]);
    const slow = source(every(4, 2), 0.5);
    expect(await slow.sample({ fps: 10 })).toHaveLength(20);
    expect(slow.converted).toEqual([0, 1, 2, 3]);
  });

  it("stops when told to", async () => {
    const stop = new AbortController();
    stop.abort(new Error("enough"));
    await expect(source(every(9, 25)).sample({ signal: stop.signal })).rejects.toThrow("enough");
  });

  it("obeys its rule and releases every frame once, for any times", async () => {
    const gaps = fc.array(fc.integer({ min: 5, max: 400 }), { minLength: 1, maxLength: 30 });
    const options = fc.record({
      fps: fc.integer({ min: 1, max: 60 }),
      startMs: fc.integer({ min: 0, max: 2000 }),
      limit: fc.integer({ min: 1, max: 500 }),
    });
    await fc.assert(
      fc.asyncProperty(gaps, options, async (gapsMs, { fps, startMs, limit }) => {
        let ms = 0;
        const times = [0, ...gapsMs.map((gap) => (ms += gap) / 1000)];
        const { sample, released } = source(times, 0.1);
        const shown = await sample({ fps, startS: startMs / 1000 }, limit);
        const expected: number[] = [];
        for (let k = 0; expected.length < limit; k++) {
          const at = startMs / 1000 + k / fps;
          if (at >= ms / 1000 + 0.1 - 0.001) break;
          expected.push(times.findLastIndex((t) => t <= at + 0.001));
        }
        expect(numbers(shown)).toEqual(expected);
        expect(new Set(released).size).toBe(released.length);
        if (expected.length < limit)
          expect(released.toSorted((a, b) => a - b)).toEqual(times.map((_, i) => i));
      }),
    );
  });
});
