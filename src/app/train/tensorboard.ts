/**
 * TensorBoard event files: records of a length, its checksum, an Event and its checksum (TFRecord). Checksums are
 * CRC-32C, rotated and moved by a constant, so that a checksum of data that holds checksums stays useful.
 */
import { appendFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import crc32c from "crc-32/crc32c.js";
import protobuf from "protobufjs";

/** The part of TensorFlow's event.proto and summary.proto that we write; names and numbers are the format's. */
const SCHEMA = `
syntax = "proto3";
message Event {
  double wall_time = 1;
  int64 step = 2;
  oneof what {
    string file_version = 3;
    Summary summary = 5;
    SessionLog session_log = 7;
  }
}
message SessionLog { int32 status = 1; }
message Summary { repeated Value value = 1; }
message Value {
  string tag = 1;
  oneof value {
    float simple_value = 2;
    Image image = 4;
  }
}
message Image {
  int32 height = 1;
  int32 width = 2;
  int32 colorspace = 3;
  bytes encoded_image_string = 4;
}
`;

/** The message of one record. */
export const EventFormat = protobuf.parse(SCHEMA, { keepCase: true }).root.lookupType("Event");

const FILE_VERSION = "brain.Event:2";
/** Status that tells TensorBoard to forget later steps of earlier files. */
const SESSION_START = 1;
const RGB = 3;

/** The events of one start of a run. */
export class EventFile {
  private readonly pending: Uint8Array[] = [];

  private constructor(private readonly path: string) {}

  /**
   * Begins a file in a run's folder. A run that goes on has several; their names sort by the step they begin with, and
   * one that begins where an earlier one did takes its place.
   */
  static async open(folder: string, step: number): Promise<EventFile> {
    const path = join(folder, `events.out.tfevents.${String(step).padStart(10, "0")}.posegen`);
    const file = new EventFile(path);
    await writeFile(path, record({ ...now(), file_version: FILE_VERSION }));
    if (step > 0) file.add({ step: step + 1, session_log: { status: SESSION_START } });
    return file;
  }

  scalar(step: number, tag: string, value: number): void {
    this.add({ step, summary: { value: [{ tag, simple_value: value }] } });
  }

  image(
    step: number,
    tag: string,
    png: Uint8Array,
    { width, height }: { width: number; height: number },
  ): void {
    const image = { height, width, colorspace: RGB, encoded_image_string: png };
    this.add({ step, summary: { value: [{ tag, image }] } });
  }

  /** Writes what has been added. */
  async flush(): Promise<void> {
    if (this.pending.length > 0) await appendFile(this.path, Buffer.concat(this.pending.splice(0)));
  }

  private add(event: object): void {
    this.pending.push(record({ ...now(), ...event }));
  }
}

/** Events carry the time of day, which TensorBoard shows; nothing else depends on it. */
function now(): { wall_time: number } {
  return { wall_time: Date.now() / 1000 };
}

function record(event: object): Uint8Array {
  const data = EventFormat.encode(EventFormat.create(event)).finish();
  const bytes = new Uint8Array(8 + 4 + data.length + 4);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, BigInt(data.length), true);
  view.setUint32(8, maskedChecksum(bytes.subarray(0, 8)), true);
  bytes.set(data, 12);
  view.setUint32(12 + data.length, maskedChecksum(data), true);
  return bytes;
}

/** The checksum of a part of a record. */
export function maskedChecksum(bytes: Uint8Array): number {
  const crc = crc32c.buf(bytes);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}
