import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { EventFile, EventFormat, maskedChecksum } from "./tensorboard.ts";

interface ReadEvent {
  readonly step: number;
  readonly file_version?: string;
  readonly session_log?: { status: number };
  readonly summary?: { value: { tag: string; simple_value?: number; image?: { width: number } }[] };
}

/** Reads records as TensorBoard does, and checks both sums of each. */
function readEvents(bytes: Buffer): ReadEvent[] {
  const events: ReadEvent[] = [];
  let at = 0;
  while (at < bytes.length) {
    const length = Number(bytes.readBigUInt64LE(at));
    expect(bytes.readUInt32LE(at + 8)).toBe(maskedChecksum(bytes.subarray(at, at + 8)));
    const data = bytes.subarray(at + 12, at + 12 + length);
    expect(bytes.readUInt32LE(at + 12 + length)).toBe(maskedChecksum(data));
    events.push(EventFormat.toObject(EventFormat.decode(data), { longs: Number }) as ReadEvent);
    at += 12 + length + 4;
  }
  return events;
}

test("checksums are masked CRC-32C", () => {
  // CRC-32C of "123456789" is 0xe3069283 (RFC 3720's polynomial); rotated right by 15 and moved by the constant.
  const crc = 0xe3069283;
  const expected = (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
  expect(maskedChecksum(Buffer.from("123456789"))).toBe(expected);
});

test("what is written can be read again", async () => {
  const folder = await mkdtemp(join(tmpdir(), "posegen-events-"));
  try {
    const file = await EventFile.open(folder, 20);
    file.scalar(21, "train/loss", 0.5);
    file.image(21, "samples", new Uint8Array([1, 2, 3]), { width: 4, height: 2 });
    await file.flush();
    file.scalar(22, "train/loss", 0.25);
    await file.flush();
    const events = readEvents(await readFile(join(folder, "events.out.tfevents.0000000020.posegen")));
    expect(events[0]).toMatchObject({ file_version: "brain.Event:2" });
    // A run that goes on tells TensorBoard to forget what a killed one wrote after the checkpoint.
    expect(events[1]).toMatchObject({ step: 21, session_log: { status: 1 } });
    expect(events[2]!.summary!.value).toEqual([{ tag: "train/loss", simple_value: 0.5 }]);
    expect(events[3]!.summary!.value[0]).toMatchObject({ tag: "samples", image: { width: 4, height: 2 } });
    expect(events[4]).toMatchObject({ step: 22, summary: { value: [{ simple_value: 0.25 }] } });
    expect(events).toHaveLength(5);
  } finally {
    await rm(folder, { recursive: true });
  }
});
