/** A worker process: opens what its setup names, then does one job after another. */
import { type PortableError, packError } from "../../runtime/protocol.ts";
import { invariant } from "../../tensor/errors.ts";
import { type AvatarSetup, openAvatarWorker } from "./make-avatar-clips.ts";
import { type VideoSetup, openVideoWorker } from "./make-video-clip.ts";
import type { FromWorker, ToWorker } from "./worker-pool.ts";

/** What a worker does; jobs and results are plain data. */
type Work = (job: never) => Promise<unknown>;

let work: Work | null = null;

// Ctrl-C reaches every process of a terminal; when to stop, the pool decides.
process.on("SIGINT", () => {});
// The pool is gone, perhaps killed: nobody waits for the rest.
process.on("disconnect", () => process.exit());
process.on("message", async (message: ToWorker) => {
  const answer = await handle(message).catch((error: unknown) => ({ error: packError(error) }));
  if (process.connected) process.send?.(answer satisfies FromWorker | { error: PortableError });
});

async function handle(message: ToWorker): Promise<FromWorker> {
  if ("setup" in message) {
    work = await open(message.setup as VideoSetup | AvatarSetup);
    return { ready: true };
  }
  invariant(work, "a worker is told its setup first");
  return { result: await work(message.job as never) };
}

async function open(setup: VideoSetup | AvatarSetup): Promise<Work> {
  return setup.kind === "video" ? openVideoWorker(setup) : openAvatarWorker(setup);
}
