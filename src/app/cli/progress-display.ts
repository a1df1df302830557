import type { GenerateEvent, Phase, ProgressEvent } from "../../index.ts";
import { ActivityDisplay } from "./activity-display.ts";
import { formatDuration } from "./quantities.ts";

const PHASE_NAMES: Readonly<Record<Phase, string>> = {
  perceive: "poses and hands",
  base: "base segments",
  interpolate: "interpolated segments",
  write: "video",
};

const NAME_WIDTH = Math.max(...Object.values(PHASE_NAMES).map((name) => name.length));

/** Shows what a run tells. */
export class ProgressDisplay {
  private readonly display: ActivityDisplay;

  constructor(stream: NodeJS.WriteStream = process.stderr) {
    this.display = new ActivityDisplay(NAME_WIDTH, stream);
  }

  show(event: GenerateEvent): void {
    if (event.type === "progress") {
      const { phase, fraction, elapsedMs } = event;
      this.display.show({ name: PHASE_NAMES[phase], fraction, elapsedMs, detail: detail(event) });
    } else if (event.type === "notice") this.say(event.message);
    else if (event.type === "finished") this.close();
  }

  /** Prints a line, between bars where there are some. */
  say(message: string): void {
    this.display.say(message);
  }

  /** Ends the last phase. */
  close(): void {
    this.display.close();
  }
}

function detail({ activity, segment, step, of, remainingMs }: ProgressEvent): string {
  const what = segment === null ? "frame" : `segment ${segment}, ${activity}`;
  const left = remainingMs === null ? "" : `, ${formatDuration(remainingMs)} left`;
  return `${what} ${step} of ${of}${left}`;
}
