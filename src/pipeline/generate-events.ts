import { generate } from "./generate.ts";
import type { GenerateEvent, RunOptions } from "./progress.ts";
import type { GenerateRequest } from "./request.ts";

/**
 * `generate` as a sequence of events, the last of which tells the result. A caller that stops asking stops the run at
 * its next step.
 * @throws what `generate` throws, after the events before it
 */
export async function* generateEvents(
  request: GenerateRequest,
  { signal }: RunOptions = {},
): AsyncGenerator<GenerateEvent, void, undefined> {
  const stop = new AbortController();
  const queue = new EventQueue();
  const run = generate(request, {
    onProgress: (event) => queue.add(event),
    signal: signal ? AbortSignal.any([signal, stop.signal]) : stop.signal,
  });
  const ended = run.then(
    () => queue.end(),
    () => queue.end(),
  );
  try {
    yield* queue.take();
    await run;
  } finally {
    stop.abort();
    await ended;
  }
}

/** Events between a run that makes them and a reader that takes them in its own time. */
class EventQueue {
  private readonly events: GenerateEvent[] = [];
  private isOver = false;
  private wake = (): void => {};

  add(event: GenerateEvent): void {
    this.events.push(event);
    this.wake();
  }

  end(): void {
    this.isOver = true;
    this.wake();
  }

  async *take(): AsyncGenerator<GenerateEvent, void, undefined> {
    for (;;) {
      const event = this.events.shift();
      if (event) yield event;
      else if (this.isOver) return;
      else await new Promise<void>((resolve) => (this.wake = resolve));
    }
  }
}
