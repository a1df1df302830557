import { setImmediate as turn } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { type Image, createImage } from "./pixels.ts";
import type { VideoEncoder } from "./video-backend.ts";
import { writeBehind } from "./write-behind.ts";

/** Takes its time, and notes what it does; fails at frames that are two pixels wide. */
class SlowEncoder implements VideoEncoder {
  readonly log: string[] = [];

  async write({ width }: Image): Promise<void> {
    this.log.push(`begins ${width}`);
    await turn();
    if (width === 2) throw new Error("the disk is full");
    this.log.push(`ends ${width}`);
  }

  async close() {
    this.log.push("closes");
    return { numFrames: 0, audio: "none" } as const;
  }

  async abort(): Promise<void> {
    this.log.push("aborts");
  }
}

const frame = (width: number): Image => createImage(width, 1);

describe("writeBehind", () => {
  test("encodes while the next frame is made, one after another, all of them before the end", async () => {
    const slow = new SlowEncoder();
    const encoder = writeBehind(slow);
    await encoder.write(frame(4));
    expect(slow.log).toEqual(["begins 4"]);
    await encoder.write(frame(5));
    expect(slow.log).toEqual(["begins 4", "ends 4", "begins 5"]);
    await encoder.close();
    await encoder.abort();
    expect(slow.log).toEqual(["begins 4", "ends 4", "begins 5", "ends 5", "closes", "aborts"]);
  });

  test("reports a failure with the next frame, or at the end", async () => {
    const encoder = writeBehind(new SlowEncoder());
    await encoder.write(frame(2));
    await expect(encoder.write(frame(4))).rejects.toThrow("the disk is full");
    const other = writeBehind(new SlowEncoder());
    await other.write(frame(2));
    await expect(other.close()).rejects.toThrow("the disk is full");
  });

  test("aborts once nothing is under way, whatever became of it", async () => {
    const slow = new SlowEncoder();
    const encoder = writeBehind(slow);
    await encoder.write(frame(2));
    await encoder.abort();
    expect(slow.log).toEqual(["begins 2", "aborts"]);
  });
});
