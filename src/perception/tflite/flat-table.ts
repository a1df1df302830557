import { ByteBuffer } from "flatbuffers";
import { UserError } from "../../tensor/errors.ts";

/** A flatbuffer's bytes and the name its faults are reported under. */
interface Source {
  readonly buffer: ByteBuffer;
  readonly name: string;
}

/**
 * One table of a flatbuffer. Fields are asked for by their number in the schema; an absent field gives the
 * schema's default. Every read is checked against the end of the file: a damaged file gives a UserError.
 */
export class FlatTable {
  private constructor(
    private readonly source: Source,
    private readonly position: number,
  ) {}

  /** The root table of a flatbuffer with the given four-letter file identifier. */
  static root(bytes: Uint8Array, identifier: string, name: string): FlatTable {
    const buffer = new ByteBuffer(bytes);
    if (bytes.length < 8 || buffer.getBufferIdentifier() !== identifier) {
      throw new UserError(`${name} is no ${identifier} file`);
    }
    return new FlatTable({ buffer, name }, 0).follow(0);
  }

  int32(field: number, fallback = 0): number {
    const at = this.locate(field, 4);
    return at === 0 ? fallback : this.source.buffer.readInt32(at);
  }

  uint8(field: number, fallback = 0): number {
    const at = this.locate(field, 1);
    return at === 0 ? fallback : this.source.buffer.readUint8(at);
  }

  bool(field: number): boolean {
    return this.uint8(field) !== 0;
  }

  string(field: number): string {
    return new TextDecoder().decode(this.bytes(field));
  }

  table(field: number): FlatTable | null {
    const at = this.locate(field, 4);
    return at === 0 ? null : this.follow(at);
  }

  tables(field: number): FlatTable[] {
    const { start, length } = this.vector(field, 4);
    return Array.from({ length }, (_, i) => this.follow(start + 4 * i));
  }

  int32s(field: number): number[] {
    const { start, length } = this.vector(field, 4);
    return Array.from({ length }, (_, i) => this.source.buffer.readInt32(start + 4 * i));
  }

  uint16s(field: number): number[] {
    const { start, length } = this.vector(field, 2);
    return Array.from({ length }, (_, i) => this.source.buffer.readUint16(start + 2 * i));
  }

  /** The bytes of a vector of bytes or of a string, not copied; empty when absent. */
  bytes(field: number): Uint8Array {
    const { start, length } = this.vector(field, 1);
    return this.source.buffer.bytes().subarray(start, start + length);
  }

  /** Position of a field of `size` bytes, or 0 when it is absent. */
  private locate(field: number, size: number): number {
    const { buffer } = this.source;
    this.check(this.position, 4);
    const vtable = this.position - buffer.readInt32(this.position);
    this.check(vtable, 4);
    const vtableSize = buffer.readUint16(vtable);
    this.check(vtable, vtableSize);
    // A vtable holds its own size, the table's size, then the offset of each field.
    const entry = 4 + 2 * field;
    const offset = entry + 2 <= vtableSize ? buffer.readUint16(vtable + entry) : 0;
    if (offset === 0) return 0;
    this.check(this.position + offset, size);
    return this.position + offset;
  }

  /** The table that the reference at `at` points to. */
  private follow(at: number): FlatTable {
    this.check(at, 4);
    return new FlatTable(this.source, at + this.source.buffer.readUint32(at));
  }

  private vector(field: number, elementSize: number): { start: number; length: number } {
    const at = this.locate(field, 4);
    if (at === 0) return { start: 0, length: 0 };
    const { buffer } = this.source;
    const head = at + buffer.readUint32(at);
    this.check(head, 4);
    const length = buffer.readUint32(head);
    this.check(head + 4, length * elementSize);
    return { start: head + 4, length };
  }

  private check(start: number, size: number): void {
    const { buffer, name } = this.source;
    if (start < 0 || start + size > buffer.capacity()) {
      throw new UserError(
        `${name} is damaged: ${size} bytes at ${start} lie outside its ${buffer.capacity()} bytes`,
      );
    }
  }
}
