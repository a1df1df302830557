import { resolve } from "node:path";
import {
  AV_DISPOSITION_ATTACHED_PIC,
  AV_LOG_QUIET,
  AV_PKT_DATA_DISPLAYMATRIX,
  AVMEDIA_TYPE_VIDEO,
} from "node-av/constants";
import { Dictionary, FFmpegError, FormatContext, Log, type Stream } from "node-av/lib";
import { checkSourceFile } from "./source-file.ts";
import { CONTAINER_FORMATS, notAVideo } from "./video-backend.ts";
import { orientationOf, type Orientation } from "./video-orientation.ts";

// Faults come back as error codes; FFmpeg's own lines on stderr would only repeat them.
Log.setLevel(AV_LOG_QUIET);

/** An opened file and its video stream. */
export interface Source {
  readonly path: string;
  readonly format: FormatContext;
  readonly stream: Stream;
  /** How its pictures become upright. */
  readonly orientation: Orientation;
}

/** Opens a file, from the local disk only and in a known container only. Throws UserError. */
export async function openSource(path: string): Promise<Source> {
  await checkSourceFile(path, "video");
  const format = new FormatContext();
  format.allocContext();
  const options = Dictionary.fromObject({ format_whitelist: CONTAINER_FORMATS, protocol_whitelist: "file" });
  try {
    const opened = await format.openInput(`file:${resolve(path)}`, null, options);
    if (opened < 0) throw notAVideo(path, FFmpegError.strerror(opened));
  } finally {
    options.free();
  }
  try {
    const found = await format.findStreamInfo();
    if (found < 0) throw notAVideo(path, FFmpegError.strerror(found));
    const stream = format.streams[format.findBestStream(AVMEDIA_TYPE_VIDEO)];
    if (!stream || stream.disposition & AV_DISPOSITION_ATTACHED_PIC)
      throw notAVideo(path, "it has no video stream");
    return { path, format, stream, orientation: streamOrientation(path, stream) };
  } catch (error) {
    await format.closeInput();
    throw error;
  }
}

function streamOrientation(path: string, stream: Stream): Orientation {
  const { codecpar } = stream;
  const matrix = codecpar.getCodedSideData(AV_PKT_DATA_DISPLAYMATRIX);
  const ofContainer = stream.sampleAspectRatio;
  return orientationOf(path, {
    width: codecpar.width,
    height: codecpar.height,
    pixelAspect: ofContainer.num > 0 ? ofContainer : codecpar.sampleAspectRatio,
    matrix: matrix ? Array.from({ length: 9 }, (_, i) => matrix.readInt32LE(i * 4)) : undefined,
  });
}
