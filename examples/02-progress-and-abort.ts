// Follows a run event by event, and stops it after a time. What was finished is kept: start the program again, and it
// goes on from there.
// Run it with: npx tsx examples/02-progress-and-abort.ts
import { generateEvents } from "posegen";

const request = {
  image: "assets/sample/reference.png",
  video: "assets/sample/dance.mp4",
  out: "out/examples/02.mp4",
};
const signal = AbortSignal.timeout(60_000);

try {
  for await (const event of generateEvents(request, { signal })) {
    if (event.type === "plan") console.log(`${event.plan.segments.length} segments`);
    if (event.type === "notice") console.log(event.message);
    if (event.type === "progress") {
      const left = event.remainingMs === null ? "" : `, ${Math.round(event.remainingMs / 1000)} s left`;
      console.log(`${event.phase}: ${Math.round(100 * event.fraction)}%${left}`);
    }
    if (event.type === "finished") console.log(`finished: ${event.result.out}`);
  }
} catch (error) {
  if (error !== signal.reason) throw error;
  console.log("The time is up. Start me again to go on.");
}
