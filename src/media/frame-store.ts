import { open, type FileHandle } from "node:fs/promises";
import { UserError } from "../tensor/errors.ts";
import { writeAtomically } from "../files/atomic-file.ts";
import { imageFromBytes, type Image } from "./pixels.ts";
import { checkSourceFile } from "./source-file.ts";

/**
 * Frames kept without loss between the phases of a run: a header of 32 bytes, then the RGB bytes of each frame, so
 * that any frame is found by its number.
 *
 * Header: "POSEGENF", then little-endian 32-bit numbers: version, width, height, frames; then 8 bytes of zero.
 */
const MAGIC = "POSEGENF";
const VERSION = 1;
const HEADER_BYTES = 32;
const MAX_SIDE = 65_536;

/** What a frame store holds. */
export interface FrameStoreInfo {
  readonly width: number;
  readonly height: number;
  readonly numFrames: number;
}

/**
 * Writes frames of one size, as they come: memory does not grow with their number. The file appears complete or not
 * at all. Returns what was written. Throws UserError for no frames, frames of different sizes and a full disk.
 */
export async function writeFrames(
  path: string,
  frames: Iterable<Image> | AsyncIterable<Image>,
): Promise<FrameStoreInfo> {
  let info: FrameStoreInfo | undefined;
  await writeAtomically(path, async (temporary) => {
    const file = await open(temporary, "w");
    try {
      for await (const frame of frames) {
        const { width, height, numFrames }: FrameStoreInfo = info ?? { ...frame, numFrames: 0 };
        if (frame.width !== width || frame.height !== height) {
          const sizes = `${frame.width}x${frame.height} after ${width}x${height}`;
          throw new UserError(`the frames for ${path} differ in size: ${sizes}; resize them first`);
        }
        await writeAt(file, frame.data, HEADER_BYTES + numFrames * width * height * 3);
        info = { width, height, numFrames: numFrames + 1 };
      }
      if (!info) throw new UserError(`no frame was given for ${path}; a frame store needs at least one`);
      await writeAt(file, encodeHeader(info), 0);
    } finally {
      await file.close();
    }
  });
  return info!;
}

/** What the store at `path` holds. Throws UserError for a file that is none, or truncated. */
export async function inspectFrames(path: string): Promise<FrameStoreInfo> {
  const file = await openStore(path);
  try {
    return await decodeHeader(path, file);
  } finally {
    await file.close();
  }
}

/**
 * Frames `from` .. `to` - 1 of a store, read one at a time (default: all of them).
 * Throws UserError for a file that is none, or truncated, and for numbers that it does not hold.
 */
export async function* readFrames(
  path: string,
  from = 0,
  to?: number,
): AsyncGenerator<Image, void, undefined> {
  const file = await openStore(path);
  try {
    const { width, height, numFrames } = await decodeHeader(path, file);
    const end = to ?? numFrames;
    if (!(Number.isInteger(from) && Number.isInteger(end) && from >= 0 && from <= end && end <= numFrames)) {
      throw new UserError(`${path} has no frames ${from} to ${end}: it holds ${numFrames}`);
    }
    for (let n = from; n < end; n++) {
      const data = new Uint8Array(width * height * 3);
      await readAt(path, file, data, HEADER_BYTES + n * data.length);
      yield imageFromBytes(width, height, data);
    }
  } finally {
    await file.close();
  }
}

async function openStore(path: string): Promise<FileHandle> {
  await checkSourceFile(path, "frame store");
  return open(path, "r");
}

function encodeHeader({ width, height, numFrames }: FrameStoreInfo): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.write(MAGIC, "latin1");
  [VERSION, width, height, numFrames].forEach((value, i) =>
    header.writeUInt32LE(value, MAGIC.length + i * 4),
  );
  return header;
}

/** Reads the header and holds it against the size of the file. */
async function decodeHeader(path: string, file: FileHandle): Promise<FrameStoreInfo> {
  const header = Buffer.alloc(HEADER_BYTES);
  const { bytesRead } = await file.read(header, 0, HEADER_BYTES, 0);
  if (bytesRead < HEADER_BYTES || header.toString("latin1", 0, MAGIC.length) !== MAGIC) {
    throw new UserError(`${path} is no frame store; expected a file that this program wrote`);
  }
  const [version, width, height, numFrames] = [0, 4, 8, 12].map((at) =>
    header.readUInt32LE(MAGIC.length + at),
  );
  if (version !== VERSION) {
    throw new UserError(
      `${path} is a frame store of version ${version}; this program reads version ${VERSION}`,
    );
  }
  const { size } = await file.stat();
  const isSane = width! > 0 && height! > 0 && width! <= MAX_SIDE && height! <= MAX_SIDE;
  const expected = HEADER_BYTES + width! * height! * 3 * numFrames!;
  if (!isSane || size !== expected) {
    throw new UserError(
      `${path} is a damaged frame store: ${size} bytes, where its header asks for ${expected}`,
    );
  }
  return { width: width!, height: height!, numFrames: numFrames! };
}

async function writeAt(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, position + done);
    done += bytesWritten;
  }
}

async function readAt(path: string, file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    const { bytesRead } = await file.read(bytes, done, bytes.length - done, position + done);
    if (bytesRead === 0) throw new UserError(`${path} ended while it was read; was it replaced meanwhile?`);
    done += bytesRead;
  }
}
