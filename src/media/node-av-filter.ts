import { AV_BUFFERSRC_FLAG_KEEP_REF } from "node-av/constants";
import {
  FFmpegError,
  Filter,
  FilterGraph,
  FilterInOut,
  Frame,
  PosixError,
  type FilterContext,
} from "node-av/lib";
import { invariant } from "../tensor/errors.ts";

/** A chain of FFmpeg filters that gives one picture for each picture, such as a colour conversion. */
export class FrameFilter {
  private graph: FilterGraph | undefined;
  private source: FilterContext | undefined;
  private sink: FilterContext | undefined;
  private built = "";
  private readonly filters: string;

  constructor(filters: string) {
    this.filters = filters;
  }

  /** The filtered picture; the caller frees it, and keeps `frame`. */
  async convert(frame: Frame): Promise<Frame> {
    // The chain is built for one kind of picture; streams may change theirs half way.
    const kind = [frame.width, frame.height, frame.format, frame.colorSpace, frame.colorRange].join();
    if (kind !== this.built) {
      await this.build(frame);
      this.built = kind;
    }
    invariant(this.source && this.sink, "the filter chain is built");
    check(await this.source.buffersrcAddFrame(frame, AV_BUFFERSRC_FLAG_KEEP_REF), "filtering");
    const result = new Frame();
    result.alloc();
    try {
      check(await this.sink.buffersinkGetFrame(result), "filtering");
    } catch (error) {
      result.free();
      throw error;
    }
    return result;
  }

  free(): void {
    this.graph?.free();
    this.graph = undefined;
    this.built = "";
  }

  private async build(frame: Frame): Promise<void> {
    this.free();
    this.graph = new FilterGraph();
    this.graph.alloc();
    this.graph.nbThreads = 1;
    const [buffer, bufferSink] = [Filter.getByName("buffer"), Filter.getByName("buffersink")];
    invariant(buffer && bufferSink, "FFmpeg has buffer filters");
    const source = this.graph.allocFilter(buffer, "in");
    invariant(source, "a buffer source is made");
    const { width, height, format, colorSpace, colorRange } = frame;
    const timeBase = { num: 1, den: 1_000_000 };
    const picture = {
      width,
      height,
      format,
      colorSpace,
      colorRange,
      timeBase,
      sampleAspectRatio: { num: 1, den: 1 },
    };
    check(source.buffersrcParametersSet(picture), "setting up filters");
    check(source.init(null), "setting up filters");
    const sink = this.graph.createFilter(bufferSink, "out", null);
    invariant(sink, "a buffer sink is made");
    // Seen from the chain: its input hangs on the source, its output on the sink.
    const outputs = FilterInOut.createList([{ name: "in", filterCtx: source, padIdx: 0 }]);
    const inputs = FilterInOut.createList([{ name: "out", filterCtx: sink, padIdx: 0 }]);
    check(this.graph.parsePtr(this.filters, inputs, outputs), `parsing "${this.filters}"`);
    check(await this.graph.config(), "setting up filters");
    this.source = source;
    this.sink = sink;
  }
}

/** A codec's answer when it wants more input before it gives output. */
export const NEEDS_MORE: number = FFmpegError.AVERROR(PosixError.EAGAIN);

/** Throws when FFmpeg answers with an error code. */
export function check(status: number, doing: string): void {
  if (status < 0) throw new Error(`FFmpeg failed at ${doing}: ${FFmpegError.strerror(status)}`);
}
