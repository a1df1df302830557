import { AV_BUFFERSRC_FLAG_KEEP_REF } from "node-av/constants";
import { FFmpegError, Filter, FilterGraph, Frame, PosixError, type FilterContext } from "node-av/lib";
import { invariant } from "../tensor/errors.ts";

/** A chain of FFmpeg filters, "name=options,name=options", that gives one picture for each picture, such as a colour conversion. */
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
    const buffer = Filter.getByName("buffer");
    const source = buffer && this.graph.allocFilter(buffer, "buffer");
    invariant(source, "FFmpeg makes a buffer");
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
    const chain = this.filters.split(",").map((description) => this.create(description));
    const sink = this.create("buffersink");
    [source, ...chain].forEach((from, i) => check(from.link(0, chain[i] ?? sink, 0), "setting up filters"));
    check(await this.graph.config(), "setting up filters");
    this.source = source;
    this.sink = sink;
  }

  /** A filter of the graph, from its name and options: "scale=64:48". */
  private create(description: string): FilterContext {
    const [name = "", options = ""] = description.split(/=(.*)/);
    const filter = Filter.getByName(name);
    const context = filter && this.graph?.createFilter(filter, name, options || null);
    invariant(context, `FFmpeg makes the filter ${description}`);
    return context;
  }
}

/** A codec's answer when it wants more input before it gives output. */
export const NEEDS_MORE: number = FFmpegError.AVERROR(PosixError.EAGAIN);

/** Throws when FFmpeg answers with an error code. */
export function check(status: number, doing: string): void {
  if (status < 0) throw new Error(`FFmpeg failed at ${doing}: ${FFmpegError.strerror(status)}`);
}
