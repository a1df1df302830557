import {
  AV_BUFFERSRC_FLAG_KEEP_REF,
  AV_CHANNEL_ORDER_NATIVE,
  AVERROR_EOF,
  type AVSampleFormat,
} from "node-av/constants";
import {
  avGetSampleFmtName,
  FFmpegError,
  Filter,
  FilterGraph,
  Frame,
  PosixError,
  Rational,
  type FilterContext,
} from "node-av/lib";
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
    this.sink = linkChain(this.graph, source, this.filters, "buffersink");
    check(await this.graph.config(), "setting up filters");
    this.source = source;
  }
}

/** A chain of FFmpeg filters for sound, which may give more or fewer frames than it is given. */
export class SoundFilter {
  private graph: FilterGraph | undefined;
  private source: FilterContext | undefined;
  private sink: FilterContext | undefined;
  private kind = "";
  private readonly filters: string;

  constructor(filters: string) {
    this.filters = filters;
  }

  /**
   * Adds a frame, or with null the end of the sound, and gives the frames that are ready; the caller frees them, and
   * keeps `frame`. Frames of another rate or kind than the first one's are left out: streams may change theirs half way.
   * @param pts when the frame begins, in samples of its rate
   */
  async *add(frame: Frame | null, pts: bigint): AsyncGenerator<Frame, void, undefined> {
    if (frame) {
      const kind = kindOf(frame);
      if (!this.graph) await this.build(frame);
      if (kind !== this.kind) return;
      frame.pts = pts;
      frame.timeBase = new Rational(1, frame.sampleRate);
    }
    // Nothing was heard.
    if (!this.source || !this.sink) return;
    check(await this.source.buffersrcAddFrame(frame, AV_BUFFERSRC_FLAG_KEEP_REF), "filtering");
    for (;;) {
      const result = new Frame();
      result.alloc();
      const status = await this.sink.buffersinkGetFrame(result);
      if (status >= 0) {
        yield result;
        continue;
      }
      result.free();
      if (status === NEEDS_MORE || status === AVERROR_EOF) return;
      check(status, "filtering");
    }
  }

  free(): void {
    this.graph?.free();
    this.graph = undefined;
  }

  private async build(frame: Frame): Promise<void> {
    this.graph = new FilterGraph();
    this.graph.alloc();
    this.graph.nbThreads = 1;
    const { sampleRate, format, channelLayout } = frame;
    const name = avGetSampleFmtName(format as AVSampleFormat);
    const layout =
      channelLayout.order === AV_CHANNEL_ORDER_NATIVE
        ? `0x${channelLayout.mask.toString(16)}`
        : `${channelLayout.nbChannels}c`;
    const options = `time_base=1/${sampleRate}:sample_rate=${sampleRate}:sample_fmt=${name}:channel_layout=${layout}`;
    this.source = createFilter(this.graph, `abuffer=${options}`);
    this.sink = linkChain(this.graph, this.source, this.filters, "abuffersink");
    check(await this.graph.config(), "setting up filters");
    this.kind = kindOf(frame);
  }
}

function kindOf({ sampleRate, format, channelLayout }: Frame): string {
  return [sampleRate, format, channelLayout.nbChannels, channelLayout.order, channelLayout.mask].join();
}

/** Links filters after a source, and after them the sink of the given name. */
function linkChain(
  graph: FilterGraph,
  source: FilterContext,
  filters: string,
  sinkName: string,
): FilterContext {
  const chain = filters.split(",").map((description) => createFilter(graph, description));
  const sink = createFilter(graph, sinkName);
  [source, ...chain].forEach((from, i) => check(from.link(0, chain[i] ?? sink, 0), "setting up filters"));
  return sink;
}

/** A filter of a graph, from its name and options: "scale=64:48". */
function createFilter(graph: FilterGraph, description: string): FilterContext {
  const [name = "", options = ""] = description.split(/=(.*)/);
  const filter = Filter.getByName(name);
  const context = filter && graph.createFilter(filter, name, options || null);
  invariant(context, `FFmpeg makes the filter ${description}`);
  return context;
}

/** A codec's answer when it wants more input before it gives output. */
export const NEEDS_MORE: number = FFmpegError.AVERROR(PosixError.EAGAIN);

/** Throws when FFmpeg answers with an error code. */
export function check(status: number, doing: string): void {
  if (status < 0) throw new Error(`FFmpeg failed at ${doing}: ${FFmpegError.strerror(status)}`);
}
